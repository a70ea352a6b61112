/*
 * mount, unmount.
 */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "http.h"
#include "output.h"
#include "path.h"

/* An unmount waits until the kernel has handed over every written page. */
#define MOUNT_TIMEOUT_S 300L

enum exit_code mount_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	char *path = path_absolute(request->operand);
	json_t *body = path != NULL ? json_pack("{s:s}", "path", path) : NULL;
	enum exit_code code = EXIT_USAGE;
	if (body == NULL)
		failure_set(&failure, code, "bad_path", "the path is not UTF-8, or the current folder is gone", "name an absolute path");
	else
		code = daemon_call(request, "/v1/mount", body, MOUNT_TIMEOUT_S, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		printf("Mounted at %s\n", member_text(answer, "path", path));
	json_decref(answer);
	json_decref(body);
	free(path);
	return code;
}

enum exit_code unmount_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	json_t *body = json_object();
	enum exit_code code = daemon_call(request, "/v1/unmount", body, MOUNT_TIMEOUT_S, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		printf("Unmounted\n");
	json_decref(answer);
	json_decref(body);
	return code;
}
