/*
 * The daemon's status in one line.
 */
#ifndef FREEHOLD_STATUS_H
#define FREEHOLD_STATUS_H

#include <jansson.h>
#include <stddef.h>

/* "syncing: 3 files, 412 MiB to cut, …" from a status answer. */
void status_line(const json_t *status, char *line, size_t line_len);

#endif
