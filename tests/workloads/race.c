/*
 * race COUNT REAL OTHER: open what a buffer names, COUNT times, while another thread rewrites the buffer between the
 * paths REAL and OTHER (of one length). Prints how often each was really opened, by inode.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char buffer[4096];
static char **paths;
static volatile int done;

static void *rewrite(void *nothing)
{
	size_t size = strlen(paths[0]) + 1;

	for (unsigned long i = 0; !done; i++)
		memcpy(buffer, paths[i & 1], size);
	return nothing;
}

int main(int argc, char **argv)
{
	struct stat real, other, about;
	long opened[2] = { 0, 0 };
	pthread_t thread;

	if (argc != 4 || stat(argv[2], &real) || stat(argv[3], &other) || strlen(argv[2]) != strlen(argv[3]))
		return 2;
	paths = argv + 2;
	strcpy(buffer, paths[0]);
	pthread_create(&thread, NULL, rewrite, NULL);
	for (long i = 0; i < atol(argv[1]); i++) {
		int fd = open(buffer, O_RDONLY);

		if (fd < 0)
			continue;
		fstat(fd, &about);
		opened[about.st_ino == other.st_ino]++;
		close(fd);
	}
	done = 1;
	pthread_join(thread, NULL);
	printf("%ld %ld\n", opened[0], opened[1]);
	return 0;
}
