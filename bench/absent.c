/*
 * absent.c: what the ASGI half of python/'s extension asks of the link, for the in-process peer, which serves
 * WSGI alone: never called, and there so that the module can be loaded. Called by nobody; owns nothing.
 */
void link_file_good(void);
void link_file_good(void)
{
	__builtin_trap();
}

void link_req_away(void);
void link_req_away(void)
{
	__builtin_trap();
}

void link_req_body_over(void);
void link_req_body_over(void)
{
	__builtin_trap();
}

void link_req_may_tunnel(void);
void link_req_may_tunnel(void)
{
	__builtin_trap();
}

void link_req_room(void);
void link_req_room(void)
{
	__builtin_trap();
}

void link_req_set_user(void);
void link_req_set_user(void)
{
	__builtin_trap();
}

void link_req_tunnel(void);
void link_req_tunnel(void)
{
	__builtin_trap();
}

void link_req_user(void);
void link_req_user(void)
{
	__builtin_trap();
}

void link_worker_arm(void);
void link_worker_arm(void)
{
	__builtin_trap();
}

void link_worker_async(void);
void link_worker_async(void)
{
	__builtin_trap();
}

void link_worker_fd(void);
void link_worker_fd(void)
{
	__builtin_trap();
}

void link_worker_stopping(void);
void link_worker_stopping(void)
{
	__builtin_trap();
}

void link_worker_touched(void);
void link_worker_touched(void)
{
	__builtin_trap();
}
