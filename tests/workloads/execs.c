/* execs COUNT PROGRAM: fork and exec PROGRAM, COUNT times. Prints the children started and those whose exec failed. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	/* on the stack: a constant's page may never have been touched, and could not be read */
	char argument[] = "an argument";
	long count, failed = 0;

	if (argc != 3)
		return 2;
	count = atol(argv[1]);
	for (long i = 0; i < count; i++) {
		int status;
		pid_t child = fork();

		if (child < 0)
			return 1;
		if (!child) {
			execl(argv[2], argv[2], argument, (char *)NULL);
			_exit(127);
		}
		waitpid(child, &status, 0);
		failed += WIFEXITED(status) && WEXITSTATUS(status) == 127;
	}
	printf("%ld %ld\n", count - failed, failed);
	return 0;
}
