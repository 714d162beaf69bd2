/*
 * int80 COUNT PATH PORT: from a 64-bit process, through the 32-bit gate (int 0x80): open PATH and connect to
 * 127.0.0.1:PORT, COUNT times each. Prints the opens and the connects that succeeded.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IA32_OPEN	5
#define IA32_CLOSE	6
#define IA32_SOCKET	359
#define IA32_CONNECT	362

static long call32(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

int main(int argc, char **argv)
{
	/* 32-bit pointers: what the gate is given must lie below 4 GiB */
	char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct sockaddr_in *to = (void *)(low + 4096);
	long count, opened = 0, connected = 0;

	if (argc != 4 || low == MAP_FAILED)
		return 2;
	count = atol(argv[1]);
	strncpy(low, argv[2], 4095);
	to->sin_family = AF_INET;
	to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to->sin_port = htons(atoi(argv[3]));
	for (long i = 0; i < count; i++) {
		long fd = call32(IA32_OPEN, (long)low, 0, 0);

		opened += fd >= 0;
		call32(IA32_CLOSE, fd, 0, 0);
		fd = call32(IA32_SOCKET, AF_INET, SOCK_STREAM, 0);
		connected += !call32(IA32_CONNECT, fd, (long)to, sizeof(*to));
		call32(IA32_CLOSE, fd, 0, 0);
	}
	printf("%ld %ld\n", opened, connected);
	return 0;
}
