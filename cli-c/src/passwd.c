/*
 * passwd: another password.
 */
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "command.h"
#include "http.h"
#include "output.h"
#include "secret.h"

static enum exit_code send_passwords(const struct request *request, json_t **answer, struct failure *failure)
{
	char old[PASSWORD_BYTES_MAX + 2] = { 0 };
	char new[PASSWORD_BYTES_MAX + 2] = { 0 };
	enum exit_code code = secret_password(request->password_file, "Current password: ", false, old, failure);
	if (code == EXIT_DONE)
		code = secret_password(request->new_password_file, "New password: ", true, new, failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s, s:s}", "old", old, "new", new);
		if (body == NULL)
			code = failure_set(failure, EXIT_USAGE, "not_utf8", "passwords must be UTF-8", "");
		else
			code = daemon_call(request, "/v1/passwd", body, ACCOUNT_TIMEOUT_S, answer, failure);
		json_decref(body);
	}
	explicit_bzero(old, sizeof(old));
	explicit_bzero(new, sizeof(new));
	return code;
}

enum exit_code passwd_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	if (send_passwords(request, &answer, &failure) != EXIT_DONE)
		return output_failure(request->json, &failure);
	if (request->json)
		output_json(answer, NULL);
	else
		printf("The password is changed; other devices stay signed in\n");
	json_decref(answer);
	return EXIT_DONE;
}
