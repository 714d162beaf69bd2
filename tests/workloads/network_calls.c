/*
 * network_calls HOW COUNT: connect to a listener of its own on 127.0.0.1 and accept, COUNT times, then as often connect
 * to a port nobody listens on and to a peer without a route. HOW: "libc"; or from a 64-bit program through the 32-bit
 * gate (int 0x80), "direct" calls or "socketcall". Prints how many calls ended as they should.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define IA32_SOCKETCALL	102
#define IA32_CONNECT	362
#define IA32_ACCEPT4	364

static struct sockaddr_in *low;	/* 32-bit pointers: what the gate is given must lie below 4 GiB */
static const char *how;

#ifdef __x86_64__
static long call32(long number, long a, long b, long c, long d)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c), "S"(d)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}
#else
static long call32(long number, long a, long b, long c, long d)
{
	(void)number, (void)a, (void)b, (void)c, (void)d;
	exit(2);
}
#endif

static long connect_how(int fd, const struct sockaddr_in *to)
{
	unsigned int *packed = (unsigned int *)(low + 1);

	*low = *to;
	if (!strcmp(how, "direct"))
		return call32(IA32_CONNECT, fd, (long)low, sizeof(*low), 0);
	if (!strcmp(how, "libc"))
		return connect(fd, (const struct sockaddr *)to, sizeof(*to)) ? -errno : 0;
	packed[0] = fd;
	packed[1] = (long)low;
	packed[2] = sizeof(*low);
	return call32(IA32_SOCKETCALL, 3, (long)packed, 0, 0);
}

static long accept_how(int fd, int four)
{
	unsigned int *packed = (unsigned int *)(low + 1);

	if (!strcmp(how, "direct"))
		return call32(IA32_ACCEPT4, fd, 0, 0, 0);
	if (!strcmp(how, "libc"))
		return four ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : accept(fd, NULL, NULL);
	packed[0] = fd;
	packed[1] = packed[2] = packed[3] = 0;
	return call32(IA32_SOCKETCALL, four ? 18 : 5, (long)packed, 0, 0);
}

static long attempt(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long result;

	to.sin_addr.s_addr = inet_addr(address);
	result = connect_how(fd, &to);
	close(fd);
	return result;
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(here);
	long count, done = 0;

	if (argc != 3)
		return 2;
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
#ifdef MAP_32BIT
		   | MAP_32BIT
#endif
		   , -1, 0);
	how = argv[1];
	count = atol(argv[2]);
	if (bind(listener, (struct sockaddr *)&here, size) || listen(listener, 128))
		return 1;
	getsockname(listener, (struct sockaddr *)&here, &size);
	for (long i = 0; i < count; i++) {
		long taken;

		done += !attempt("127.0.0.1", ntohs(here.sin_port));
		taken = accept_how(listener, i & 1);
		done += taken > 0;
		close(taken);
		done += attempt("127.0.0.1", 1) == -ECONNREFUSED;
		done += attempt("198.51.100.1", 7) == -ENETUNREACH;
	}
	printf("%ld\n", done);
	return 0;
}
