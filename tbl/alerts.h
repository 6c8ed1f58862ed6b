/*
 * alerts.h: which events need a person, who is told by [Alert], and which say that it is over. An X-macro table.
 *
 * ALERT(EVENT, topic, kind, "field", "only")
 *   topic  what it is about, with the field's value: told once while it lasts
 *   kind   ALERT_RAISE: told, and told as over by a row of the topic that says ALERT_CLEAR; ALERT_ONCE: nothing says that it
 *          is over, so it is told again after an hour; ALERT_CLEAR
 *   field  of the event, whose value says of whom; "": of stead itself
 *   only   the row counts for that value of the field alone; "": for any
 */
ALERT(APP_CRASHING, app, ALERT_ONCE, "app", "")
ALERT(APP_DOWN, app_down, ALERT_RAISE, "app", "")
ALERT(APP_BACK, app_down, ALERT_CLEAR, "app", "")
ALERT(DEPLOY_FAILED, deploy, ALERT_RAISE, "app", "")
ALERT(DEPLOYED, deploy, ALERT_CLEAR, "app", "")
ALERT(PROGRAM_NOT_RUN, program, ALERT_ONCE, "app", "")
ALERT(OUT_OF_MEMORY, memory, ALERT_ONCE, "app", "")
ALERT(DISK_LOW, disk, ALERT_RAISE, "", "")
ALERT(DISK_FINE, disk, ALERT_CLEAR, "", "")
ALERT(DISK_FILLED, disk_filled, ALERT_ONCE, "app", "")
ALERT(INODES_LOW, inodes, ALERT_RAISE, "", "")
ALERT(INODES_FINE, inodes, ALERT_CLEAR, "", "")
ALERT(INODES_FILLED, inodes_filled, ALERT_ONCE, "app", "")
ALERT(CERT_FAILED, certificate, ALERT_RAISE, "site", "")
ALERT(CERT_LATE, certificate_late, ALERT_ONCE, "site", "")
ALERT(CERT_ENDS, certificate_ends, ALERT_ONCE, "site", "")
ALERT(CERT_ISSUED, certificate, ALERT_CLEAR, "site", "")
ALERT(TCP_DOWN, tcp, ALERT_RAISE, "tcp", "")
ALERT(TCP_BACK, tcp, ALERT_CLEAR, "tcp", "")
ALERT(PROC_DIED, database, ALERT_RAISE, "role", "postgres")
ALERT(PROC_READY, database, ALERT_CLEAR, "role", "postgres")
ALERT(STATE_ERROR, state, ALERT_ONCE, "", "")
ALERT(CHANNEL_BROKEN, protocol, ALERT_ONCE, "role", "")
ALERT(SPAWN_FAILED, spawn, ALERT_ONCE, "role", "")
