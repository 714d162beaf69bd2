/* accepts COUNT: listen on a free port of 127.0.0.1, print it, accept COUNT connections, print how many. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	long accepted = 0;

	if (argc != 2 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 128))
		return 1;
	getsockname(listener, (struct sockaddr *)&address, &size);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	while (accepted < atol(argv[1])) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return 1;
		accepted++;
		close(fd);
	}
	printf("%ld\n", accepted);
	return 0;
}
