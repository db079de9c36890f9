/*
 * Runs a fuzz target on inputs that are kept: replay_TARGET DIRECTORY...
 * Prints how many it survived; a bad one ends the process, its name last.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		perror(path);
		exit(1);
	}
	rewind(f);
	/* Not a byte more than there is, for the address sanitizer. */
	data = malloc(size ? size : 1);
	if (!data || fread(data, 1, size, f) != (size_t)size) {
		perror(path);
		exit(1);
	}
	fclose(f);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int main(int argc, char **argv)
{
	unsigned int n = 0;

	for (int i = 1; i < argc; i++) {
		struct dirent **list;
		int files = scandir(argv[i], &list, NULL, alphasort);

		for (int k = 0; k < files; k++) {
			char path[4096];

			snprintf(path, sizeof(path), "%s/%s", argv[i],
				 list[k]->d_name);
			if (list[k]->d_name[0] != '.') {
				one(path);
				n++;
			}
			free(list[k]);
		}
		if (files >= 0)
			free(list);
	}
	printf("%u passed, 0 failed\n", n);
	return 0;
}
