/*
 * version: of this command and of the daemon, if it runs.
 */
#include <stdio.h>

#include "command.h"
#include "http.h"
#include "output.h"

enum exit_code version_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = daemon_call(request, "/v1/version", NULL, 10, &answer, &failure);
	/* A daemon that is not running is no error here: the command has a version without it. */
	const char *daemon = code == EXIT_DONE ? member_text(answer, "version", "?") : NULL;
	if (code != EXIT_DONE && code != EXIT_NO_DAEMON) {
		output_failure(request->json, &failure);
	} else if (request->json) {
		json_t *data = json_pack("{s:s, s:s?}", "command", FREEHOLD_VERSION, "daemon", daemon);
		output_json(data, NULL);
		json_decref(data);
		code = EXIT_DONE;
	} else {
		printf("freehold %s, daemon %s\n", FREEHOLD_VERSION, daemon != NULL ? daemon : "not running");
		code = EXIT_DONE;
	}
	json_decref(answer);
	return code;
}
