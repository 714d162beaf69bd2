/* handle COUNT PATH: open PATH by its file handle, COUNT times. Prints the successes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct file_handle *handle = malloc(sizeof(*handle) + MAX_HANDLE_SZ);
	int mount_id, mount = open("/", O_RDONLY | O_DIRECTORY);
	long opened = 0;

	handle->handle_bytes = MAX_HANDLE_SZ;
	if (argc != 3 || name_to_handle_at(AT_FDCWD, argv[2], handle, &mount_id, 0))
		return 2;
	for (long i = 0; i < atol(argv[1]); i++) {
		int fd = open_by_handle_at(mount, handle, O_RDONLY);

		if (fd < 0)
			continue;
		opened++;
		close(fd);
	}
	printf("%ld\n", opened);
	return 0;
}
