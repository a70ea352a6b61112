/*
 * Paths as the user writes them.
 */
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *path_absolute(const char *path)
{
	char *joined = NULL;
	if (path[0] == '/')
		return strdup(path);
	char *here = getcwd(NULL, 0);
	if (here == NULL || asprintf(&joined, "%s/%s", here, path) < 0)
		joined = NULL;
	free(here);
	return joined;
}
