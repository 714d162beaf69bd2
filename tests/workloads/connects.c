/* connects COUNT PORT: connect to 127.0.0.1:PORT, COUNT times. Prints the established and the failed ones. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	long count, established = 0;

	if (argc != 3)
		return 2;
	count = atol(argv[1]);
	to.sin_port = htons(atoi(argv[2]));
	for (long i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0)
			return 1;
		/* leave no TIME_WAIT behind: ten thousand of them use up the ports */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		established += !connect(fd, (struct sockaddr *)&to, sizeof(to));
		close(fd);
	}
	printf("%ld %ld\n", established, count - established);
	return 0;
}
