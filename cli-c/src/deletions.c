/*
 * deletions list, accept, undo: mass deletions of other devices that wait for a person.
 */
#include <stdio.h>

#include "command.h"
#include "http.h"
#include "output.h"

/* Half a million files are merged within this. */
#define DELETIONS_TIMEOUT_S 300L

/* One line a device; returns how many files there are. */
static json_int_t print_held(const json_t *answer, const char *what)
{
	json_int_t files = 0;
	size_t index;
	json_t *held;
	json_array_foreach(json_object_get(answer, "held"), index, held) {
		files += member_number(held, "files");
		print_text(member_text(held, "device", "?"));
		printf(": %lld files %s\n", (long long)member_number(held, "files"), what);
	}
	return files;
}

static enum exit_code answered(const struct request *request, enum exit_code code, const struct failure *failure,
			       const json_t *answer, const char *what)
{
	if (code != EXIT_DONE)
		output_failure(request->json, failure);
	else if (request->json)
		output_json(answer, NULL);
	else if (print_held(answer, what) == 0)
		printf("No deletions are held\n");
	return code;
}

enum exit_code deletions_list_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = daemon_call(request, "/v1/deletions", NULL, DELETIONS_TIMEOUT_S, &answer, &failure);
	answered(request, code, &failure, answer, "deleted there, still shown here");
	json_decref(answer);
	return code;
}

static enum exit_code decide(const struct request *request, const char *decision, const char *what)
{
	struct failure failure;
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s}", "decision", decision);
	enum exit_code code = daemon_call(request, "/v1/deletions/decide", body, DELETIONS_TIMEOUT_S, &answer, &failure);
	answered(request, code, &failure, answer, what);
	json_decref(answer);
	json_decref(body);
	return code;
}

enum exit_code deletions_accept_run(const struct request *request)
{
	return decide(request, "accept", "deleted here too");
}

enum exit_code deletions_undo_run(const struct request *request)
{
	return decide(request, "undo", "brought back on every device");
}
