/* operations open|exec|connect COUNT TARGET: do it COUNT times and print the nanoseconds that one took. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int open_once(const char *target)
{
	return close(open(target, O_RDONLY));
}

static int exec_once(const char *target)
{
	char *const arguments[] = { (char *)target, "--with", "two arguments", NULL };
	pid_t child = vfork();
	int status;

	if (!child) {
		execv(target, arguments);
		_exit(127);
	}
	return waitpid(child, &status, 0) == child && !status ? 0 : -1;
}

static int connect_once(const char *target)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), failed;

	to.sin_port = htons(atoi(target));
	/* a reset leaves no TIME_WAIT behind, which would use up the ports */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	failed = connect(fd, (struct sockaddr *)&to, sizeof(to));
	return close(fd) || failed;
}

int main(int argc, char **argv)
{
	int (*once)(const char *) = argc != 4 ? NULL : !strcmp(argv[1], "open") ? open_once :
				    !strcmp(argv[1], "exec") ? exec_once : connect_once;
	struct timespec start, end;
	long count;

	if (!once || (count = atol(argv[2])) < 1)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < count; i++)
		if (once(argv[3]))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.1f\n", ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / count);
	return 0;
}
