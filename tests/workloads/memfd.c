/* memfd PROGRAM: copy PROGRAM into a memfd and run it from there with the arguments "from memory". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	char *arguments[] = { "innocent", "from memory", NULL };
	int from, to = memfd_create("nothing to see", MFD_CLOEXEC);
	struct stat about;

	if (argc != 2 || (from = open(argv[1], O_RDONLY)) < 0 || fstat(from, &about))
		return 2;
	if (sendfile(to, from, NULL, about.st_size) != about.st_size)
		return 1;
	fexecve(to, arguments, environ);
	return 1;
}
