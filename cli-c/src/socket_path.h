/*
 * Where the daemon's socket is.
 */
#ifndef FREEHOLD_SOCKET_PATH_H
#define FREEHOLD_SOCKET_PATH_H

#include <stdbool.h>

/* sizeof(sockaddr_un.sun_path). */
#define SOCKET_PATH_LEN 108

/*
 * `named` if given, else $FREEHOLD_HOME/run, $XDG_RUNTIME_DIR/freehold or $HOME/.local/share/freehold/run,
 * each with clientd.sock. False when none of them is set or the path is too long.
 */
bool socket_path(const char *named, char path[static SOCKET_PATH_LEN]);

#endif
