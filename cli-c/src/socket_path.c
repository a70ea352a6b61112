/*
 * Where the daemon's socket is: the same rule as the daemon's.
 */
#include "socket_path.h"

#include <stdio.h>
#include <stdlib.h>

static bool join(char *path, const char *base, const char *rest)
{
	int len = snprintf(path, SOCKET_PATH_LEN, "%s%s", base, rest);
	return len > 0 && len < SOCKET_PATH_LEN;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

bool socket_path(const char *named, char path[static SOCKET_PATH_LEN])
{
	if (named != NULL)
		return join(path, named, "");
	const char *base = variable("FREEHOLD_HOME");
	if (base != NULL)
		return join(path, base, "/run/clientd.sock");
	base = variable("XDG_RUNTIME_DIR");
	if (base != NULL)
		return join(path, base, "/freehold/clientd.sock");
	base = variable("XDG_DATA_HOME");
	if (base != NULL)
		return join(path, base, "/freehold/run/clientd.sock");
	base = variable("HOME");
	return base != NULL && join(path, base, "/.local/share/freehold/run/clientd.sock");
}
