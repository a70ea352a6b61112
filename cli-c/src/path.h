/*
 * Paths as the user writes them.
 */
#ifndef FREEHOLD_PATH_H
#define FREEHOLD_PATH_H

/*
 * The absolute form without touching the file system: a dead mount point would answer with an error.
 * The caller releases it; NULL when the current folder is gone or memory is short.
 */
char *path_absolute(const char *path);

#endif
