/*
 * network_uring MODE COUNT: through io_uring, on 127.0.0.1, COUNT times. Prints how many succeeded.
 * connect: to a listener of its own, then as often to a port nobody listens on, then without a route.
 * accept, multishot, direct, silent (no completion): take connections made by plain calls. send: datagrams to COUNT ports from 7000 on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct io_uring ring;
static struct sockaddr_in to = { .sin_family = AF_INET };

static int finish(void)
{
	struct io_uring_cqe *cqe;
	int result;

	io_uring_submit(&ring);
	if (io_uring_wait_cqe(&ring, &cqe))
		exit(3);
	result = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return result;
}

static int listen_here(void)
{
	socklen_t size = sizeof(to);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&to, size) || listen(listener, 512))
		exit(1);
	getsockname(listener, (struct sockaddr *)&to, &size);
	return listener;
}

static int connect_ring(const char *address, int port)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), result;

	peer.sin_addr.s_addr = inet_addr(address);
	io_uring_prep_connect(io_uring_get_sqe(&ring), fd, (struct sockaddr *)&peer, sizeof(peer));
	result = finish();
	close(fd);
	return result;
}

static int connect_plain(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		exit(1);
	return fd;
}

int main(int argc, char **argv)
{
	long count, done = 0;
	const char *mode;
	int listener, files[16];

	if (argc != 3 || io_uring_queue_init(64, &ring, 0))
		return 2;
	mode = argv[1];
	count = atol(argv[2]);
	if (!strcmp(mode, "connect")) {
		listen_here();
		for (long i = 0; i < count; i++)
			done += !connect_ring("127.0.0.1", ntohs(to.sin_port));
		for (long i = 0; i < count; i++)
			done += connect_ring("127.0.0.1", 1) == -ECONNREFUSED;
		for (long i = 0; i < count; i++)
			done += connect_ring("198.51.100.1", 7) == -ENETUNREACH;
	} else if (!strcmp(mode, "send")) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		for (long i = 0; i < count; i++) {
			struct iovec data = { .iov_base = "x", .iov_len = 1 };
			struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof(to),
						  .msg_iov = &data, .msg_iovlen = 1 };

			to.sin_port = htons(7000 + i);
			io_uring_prep_sendmsg(io_uring_get_sqe(&ring), fd, &message, 0);
			done += finish() == 1;
		}
	} else {
		struct io_uring_sqe *sqe = NULL;

		listener = listen_here();
		memset(files, -1, sizeof(files));
		if (io_uring_register_files(&ring, files, 16))
			return 4;
		if (!strcmp(mode, "multishot")) {
			sqe = io_uring_get_sqe(&ring);
			io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
			sqe->user_data = 42;
			io_uring_submit(&ring);
		}
		for (long i = 0; i < count; i++) {
			int client = connect_plain(), taken;

			if (!strcmp(mode, "accept"))
				io_uring_prep_accept(io_uring_get_sqe(&ring), listener, NULL, NULL, 0);
			else if (!strcmp(mode, "direct"))
				io_uring_prep_accept_direct(io_uring_get_sqe(&ring), listener, NULL, NULL, 0,
							    i % 16);
			else if (!strcmp(mode, "silent")) {
				sqe = io_uring_get_sqe(&ring);
				io_uring_prep_accept_direct(sqe, listener, NULL, NULL, 0, i % 16);
				sqe->flags |= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK;
				io_uring_prep_nop(io_uring_get_sqe(&ring));
			}
			taken = finish();
			done += taken >= 0;
			close(client);
			if (taken > 2)
				close(taken);
		}
	}
	printf("%ld\n", done);
	return 0;
}
