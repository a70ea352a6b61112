/*
 * New recovery words on their way to the user: into a file, or onto the terminal.
 */
#ifndef FREEHOLD_WORDS_H
#define FREEHOLD_WORDS_H

#include <jansson.h>
#include <stdbool.h>

#include "command.h"
#include "output.h"

/*
 * Makes the new file of --recovery-file, before anything is asked of the daemon: words that cannot be kept
 * are never made. `*fd` stays -1 when none was asked for. False with `failure` filled when it cannot be made.
 */
bool words_open(const struct request *request, int *fd, struct failure *failure);

/* Closes and removes the file: no words came. */
void words_discard(const struct request *request, int fd);

/*
 * Prints the answer and keeps its words, in the file or on the terminal: they exist nowhere else. Closes
 * the file.
 */
void words_keep(const struct request *request, int fd, json_t *answer);

#endif
