/*
 * recover, recovery create, recovery test: the 24 words.
 */
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "command.h"
#include "http.h"
#include "output.h"
#include "secret.h"
#include "words.h"

static bool is_standard(const char *file)
{
	return file != NULL && strcmp(file, "-") == 0;
}

static enum exit_code send_recover(const struct request *request, json_t **answer, struct failure *failure)
{
	char words[PASSWORD_BYTES_MAX + 2] = { 0 };
	char password[PASSWORD_BYTES_MAX + 2] = { 0 };
	if (is_standard(request->words_file) && is_standard(request->password_file))
		return failure_set(failure, EXIT_USAGE, "one_input", "only one secret can come from standard input",
			    "put the other one in a file");
	enum exit_code code = secret_words(request->words_file, words, failure);
	if (code == EXIT_DONE)
		code = secret_password(request->password_file, "New password: ", true, password, failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s, s:s, s:s, s:s*}", "server", request->server, "words", words, "password",
					 password, "device", request->device);
		if (body == NULL)
			code = failure_set(failure, EXIT_USAGE, "not_utf8", "server, device, words and password must be UTF-8", "");
		else
			code = daemon_call(request, "/v1/recover", body, ACCOUNT_TIMEOUT_S, answer, failure);
		json_decref(body);
	}
	explicit_bzero(words, sizeof(words));
	explicit_bzero(password, sizeof(password));
	return code;
}

enum exit_code recover_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	int fd = -1;
	if (!words_open(request, &fd, &failure))
		return output_failure(request->json, &failure);
	enum exit_code code = send_recover(request, &answer, &failure);
	if (code != EXIT_DONE) {
		words_discard(request, fd);
		return output_failure(request->json, &failure);
	}
	if (!request->json) {
		print_who(answer);
		printf("The words you used are spent and the password is the new one. "
		       "`freehold device list` shows devices to remove.\n");
	}
	words_keep(request, fd, answer);
	json_decref(answer);
	return EXIT_DONE;
}

enum exit_code recovery_create_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	int fd = -1;
	char password[PASSWORD_BYTES_MAX + 2] = { 0 };
	if (!words_open(request, &fd, &failure))
		return output_failure(request->json, &failure);
	enum exit_code code = secret_password(request->password_file, "Password: ", false, password, &failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s}", "password", password);
		if (body == NULL)
			code = failure_set(&failure, EXIT_USAGE, "not_utf8", "the password must be UTF-8", "");
		else
			code = daemon_call(request, "/v1/recovery/create", body, ACCOUNT_TIMEOUT_S, &answer, &failure);
		json_decref(body);
	}
	explicit_bzero(password, sizeof(password));
	if (code != EXIT_DONE) {
		words_discard(request, fd);
		return output_failure(request->json, &failure);
	}
	if (!request->json)
		printf("The recovery words before these no longer work.\n");
	words_keep(request, fd, answer);
	json_decref(answer);
	return EXIT_DONE;
}

enum exit_code recovery_test_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	char words[PASSWORD_BYTES_MAX + 2] = { 0 };
	enum exit_code code = secret_words(request->words_file, words, &failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s}", "words", words);
		if (body == NULL)
			code = failure_set(&failure, EXIT_USAGE, "not_utf8", "the words must be UTF-8", "");
		else
			code = daemon_call(request, "/v1/recovery/test", body, ACCOUNT_TIMEOUT_S, &answer, &failure);
		json_decref(body);
	}
	explicit_bzero(words, sizeof(words));
	if (code != EXIT_DONE)
		return output_failure(request->json, &failure);
	if (request->json)
		output_json(answer, NULL);
	else if (json_is_true(json_object_get(answer, "fresh")))
		printf("These words open the account\n");
	else
		printf("These words opened the account when the server was last heard\n");
	json_decref(answer);
	return EXIT_DONE;
}
