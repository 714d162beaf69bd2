/* opens COUNT PATH: open and close PATH, COUNT times. Prints the successes and the failures. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count, opened = 0;

	if (argc != 3)
		return 2;
	count = atol(argv[1]);
	for (long i = 0; i < count; i++) {
		int fd = open(argv[2], O_RDONLY);

		if (fd < 0)
			continue;
		opened++;
		close(fd);
	}
	printf("%ld %ld\n", opened, count - opened);
	return 0;
}
