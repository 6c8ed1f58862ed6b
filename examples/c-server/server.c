/*
 * server.c: a web server in one file, as any compiled language could make one: it takes the socket that stead
 * hands over as descriptor 3 (sd_listen_fds(3)), or listens at the port of the variable PORT.
 *
 *   cc -O2 -static -o server server.c
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int number(const char *text)
{
	return text ? (int)strtol(text, NULL, 10) : 0;
}

static int open_listener(void)
{
	int port = number(getenv("PORT"));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd;

	if (number(getenv("LISTEN_PID")) == getpid() && number(getenv("LISTEN_FDS")) == 1)
		return 3;
	at.sin_port = htons((unsigned short)(port ? port : 3000));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 128) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

/* One request after the other, until the client has no more. */
static void *serve(void *arg)
{
	int fd = *(int *)arg;
	char in[16384], out[512], body[64];
	size_t have = 0;
	ssize_t got;

	free(arg);
	while (have < sizeof in - 1 && (got = read(fd, in + have, sizeof in - 1 - have)) > 0) {
		char *end;
		int n;

		have += (size_t)got;
		in[have] = '\0';
		end = strstr(in, "\r\n\r\n");
		if (!end)
			continue;
		n = snprintf(body, sizeof body, "Hello from C, process %d\n", (int)getpid());
		n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			n, body);
		if (write(fd, out, (size_t)n) != n)
			break;
		have -= (size_t)(end + 4 - in);
		memmove(in, end + 4, have);
	}
	close(fd);
	return NULL;
}

int main(void)
{
	int listener = open_listener();

	for (;;) {
		int *fd = malloc(sizeof *fd);
		pthread_t thread;

		*fd = accept(listener, NULL, NULL);
		if (*fd < 0 || pthread_create(&thread, NULL, serve, fd) != 0) {
			free(fd);
			continue;
		}
		pthread_detach(thread);
	}
}
