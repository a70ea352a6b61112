/*
 * One request to the daemon over its Unix socket.
 */
#ifndef FREEHOLD_HTTP_H
#define FREEHOLD_HTTP_H

#include <jansson.h>

#include "command.h"
#include "output.h"

/* Largest answer accepted, in bytes; the daemon has the same limit. */
#define ANSWER_BYTES_MAX (1024u * 1024u)

/* Version of the control API; sent by the daemon in the header `freehold-control`. */
#define CONTROL_VERSION 1

/*
 * Sends `body` (NULL: GET, otherwise POST) to `path` and stores the answer's JSON in `*answer`, which the
 * caller releases; NULL for an empty answer. `timeout_s` 0 waits without end.
 * Returns EXIT_DONE, or another code with `failure` filled.
 */
enum exit_code daemon_call(const struct request *request, const char *path, json_t *body, long timeout_s, json_t **answer,
			   struct failure *failure);

/* Reads a daemon's error body into `failure`; unknown shapes become EXIT_FAILED. Exposed for tests and fuzzing. */
enum exit_code daemon_error(const char *text, size_t text_len, long status, struct failure *failure);

#endif
