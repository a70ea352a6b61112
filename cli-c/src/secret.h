/*
 * Passwords and recovery words: read from a terminal or a file, wiped when released, never in argv or
 * the environment.
 */
#ifndef FREEHOLD_SECRET_H
#define FREEHOLD_SECRET_H

#include <stdbool.h>

#include "output.h"

/* Longest password accepted, in bytes; also far more than 24 words take. */
#define PASSWORD_BYTES_MAX 1024

/* Makes jansson wipe every block it releases. */
void secret_wipe_on_free(void);

/* Wipes and releases a block from malloc; NULL is fine. */
void secret_free(void *block);

/*
 * Reads a password into `password`: from the first line of `file` ("-" is standard input), or from the
 * terminal without echo after `question`, twice when `confirm`.
 * Returns EXIT_DONE, or another code with `failure` filled.
 */
enum exit_code secret_password(const char *file, const char *question, bool confirm,
			       char password[static PASSWORD_BYTES_MAX + 2],
			       struct failure *failure);

/*
 * Reads recovery words into `words`: all of `file` ("-" is standard input), however many lines, or one
 * line from the terminal without echo.
 * Returns EXIT_DONE, or another code with `failure` filled.
 */
enum exit_code secret_words(const char *file, char words[static PASSWORD_BYTES_MAX + 2], struct failure *failure);

#endif
