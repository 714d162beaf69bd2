/*
 * uring COUNT PATH PORT [silent]: through io_uring, open PATH and connect to 127.0.0.1:PORT, COUNT times each; then open
 * PATH.missing as often. "silent": ask for no completion of the successful opens. Prints opens, connects, failed opens.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct io_uring ring;

static int finish(void)
{
	struct io_uring_cqe *cqe;
	int result;

	io_uring_submit(&ring);
	io_uring_wait_cqe(&ring, &cqe);
	result = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return result;
}

static int open_file(const char *path, int silent)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY, 0);
	if (!silent)
		return finish();
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK;
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	return finish();
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	long opened = 0, connected = 0, failed = 0;
	char missing[4096];
	int silent;

	if (argc < 4 || io_uring_queue_init(8, &ring, 0))
		return 2;
	silent = argc > 4 && !strcmp(argv[4], "silent");
	to.sin_port = htons(atoi(argv[3]));
	snprintf(missing, sizeof(missing), "%s.missing", argv[2]);
	for (long i = 0; i < atol(argv[1]); i++) {
		int fd = open_file(argv[2], silent);

		opened += fd >= 0;
		if (fd > 2 && !silent)
			close(fd);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		io_uring_prep_connect(io_uring_get_sqe(&ring), fd, (struct sockaddr *)&to, sizeof(to));
		connected += !finish();
		close(fd);
		failed += open_file(missing, 0) < 0;
	}
	printf("%ld %ld %ld\n", opened, connected, failed);
	return 0;
}
