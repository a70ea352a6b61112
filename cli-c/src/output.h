/*
 * What the user sees: data on standard output, everything else on standard error, one JSON envelope.
 */
#ifndef FREEHOLD_OUTPUT_H
#define FREEHOLD_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "exit_codes.h"

/* A failure in the words of the user. Fixed sizes: an error must not fail. */
struct failure {
	enum exit_code exit;
	bool retryable;
	char code[64];
	char message[512];
	char hint[512];
};

/* Fills `failure` and returns `exit`. */
enum exit_code failure_set(struct failure *failure, enum exit_code exit, const char *code, const char *message, const char *hint);

/* Prints the failure: one line on standard error, or the JSON envelope on standard output. */
enum exit_code output_failure(bool json, const struct failure *failure);

/* Prints `{"schema":1,"ok":true,"data":…,"warnings":[…]}`; `warning` may be NULL. */
void output_json(const json_t *data, const char *warning);

/* Prints a name that somebody else chose: control characters, which could drive the terminal, as `?`. */
void print_text(const char *text);

/* The text of a member, or `otherwise` when it is absent or no text. */
const char *member_text(const json_t *object, const char *name, const char *otherwise);

/* The number of a member, or 0 when it is absent or no number. */
json_int_t member_number(const json_t *object, const char *name);

/* A byte count as people read it, IEC units: "1.5 MiB". */
void format_bytes(json_int_t bytes, char *text, size_t text_len);

/* Writes out what is buffered; turns success into failure when standard output is full or closed. */
enum exit_code output_flush(enum exit_code code);

#endif
