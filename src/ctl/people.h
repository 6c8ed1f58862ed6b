/*
 * people.h: who is at the other end of a connection to the control socket, and what he may ask. A part of ctl.h.
 */
#ifndef STEAD_CTL_PEOPLE_H
#define STEAD_CTL_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "person/person.h"
#include "tbl/tbl.h"

struct ctl;
struct client;

struct peer {
	uint32_t uid;
	enum who who; /* WHO_END: nobody who may ask anything */
	struct person person; /* of a deployer */
};

/*
 * Who that is, by what the kernel says of the connection (SO_PEERCRED and SO_PEERGROUPS, as they were when it was
 * made): root and our own user; where root runs the instance also the members of the group stead, and the people that
 * `stead user add --deploy` made.
 */
void people_peer(const struct ctl *c, int fd, struct peer *ret);
/* The same by numbers; `state_root` has the files of people. */
void people_who(const char *state_root, uint32_t uid, const uint32_t *groups, unsigned ngroups, uint32_t operators,
	struct peer *ret);
/* May he ask what he asks? A deployer who deploys one app and names none means that one. False: he was told why not. */
bool people_may(struct client *cl);
/* The line that a peer gets who may not ask anything, or for whom there is no place; fits into cap bytes. */
void people_refuse(const struct peer *p, bool busy, char *ret, size_t cap);
/* Take from a status what is not the deployer's own to see. */
void people_prune(const struct client *cl, json_t *status);

#endif
