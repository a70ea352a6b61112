/*
 * signup, login, logout, whoami.
 */
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "command.h"
#include "http.h"
#include "output.h"
#include "secret.h"
#include "words.h"

void print_who(const json_t *who)
{
	const char *user = member_text(who, "user", NULL);
	if (user == NULL) {
		printf("Not signed in.\n");
		return;
	}
	printf("Signed in as %s at %s, on device %s\n", user, member_text(who, "server", "?"),
	       member_text(who, "device_name", "?"));
}

static enum exit_code send_credentials(const struct request *request, const char *path, bool confirm, json_t **answer,
				       struct failure *failure)
{
	char password[PASSWORD_BYTES_MAX + 2] = { 0 };
	enum exit_code code = secret_password(request->password_file, "Password: ", confirm, password, failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s, s:s, s:s, s:s*}", "server", request->server, "user", request->user, "password",
					 password, "device", request->device);
		if (body == NULL)
			code = failure_set(failure, EXIT_USAGE, "not_utf8", "server, user, device and password must be UTF-8", "");
		else
			code = daemon_call(request, path, body, ACCOUNT_TIMEOUT_S, answer, failure);
		json_decref(body);
	}
	explicit_bzero(password, sizeof(password));
	return code;
}

enum exit_code signup_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	int fd = -1;
	if (!words_open(request, &fd, &failure))
		return output_failure(request->json, &failure);
	enum exit_code code = send_credentials(request, "/v1/signup", true, &answer, &failure);
	if (code != EXIT_DONE) {
		words_discard(request, fd);
		return output_failure(request->json, &failure);
	}
	if (!request->json)
		print_who(answer);
	words_keep(request, fd, answer);
	json_decref(answer);
	return EXIT_DONE;
}

static enum exit_code show(const struct request *request, enum exit_code code, json_t *answer, const struct failure *failure,
			   const char *warning)
{
	if (code != EXIT_DONE)
		return output_failure(request->json, failure);
	if (request->json)
		output_json(answer, warning);
	else
		print_who(answer);
	if (!request->json && warning != NULL)
		fprintf(stderr, "freehold: %s\n", warning);
	json_decref(answer);
	return EXIT_DONE;
}

enum exit_code login_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = send_credentials(request, "/v1/login", false, &answer, &failure);
	const char *warning =
		request->recovery_file != NULL ? "a login makes no recovery words; --recovery-file was not used" : NULL;
	return show(request, code, answer, &failure, warning);
}

enum exit_code logout_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	json_t *body = json_object();
	enum exit_code code = daemon_call(request, "/v1/logout", body, ACCOUNT_TIMEOUT_S, &answer, &failure);
	json_decref(body);
	return show(request, code, answer, &failure, NULL);
}

enum exit_code whoami_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = daemon_call(request, "/v1/whoami", NULL, 10, &answer, &failure);
	if (code == EXIT_DONE && !request->json && member_text(answer, "user", NULL) == NULL)
		code = failure_set(&failure, EXIT_LOCKED, "signed_out", "this device is not signed in",
			    "`freehold signup` or `freehold login` does it");
	return show(request, code, answer, &failure, NULL);
}
