/*
 * device list, device revoke, device rename.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "account.h"
#include "command.h"
#include "http.h"
#include "output.h"
#include "secret.h"

static const struct {
	const char *state;
	const char *words;
} states[] = {
	{ "live", "" },
	{ "revoking", "removed here, not yet at the server" },
	{ "revoked", "removed" },
};

static void print_device(const json_t *device)
{
	char day[16] = "?";
	time_t created = (time_t)member_number(device, "created");
	struct tm local;
	if (localtime_r(&created, &local) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d", &local);
	const char *state = member_text(device, "state", "?");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(state, states[i].state) == 0)
			state = states[i].words;
	printf("%.8s  %s  %-20s  %s\n", member_text(device, "id", "?"), day, member_text(device, "name", "?"),
	       json_is_true(json_object_get(device, "this")) ? "this device" : state);
}

enum exit_code device_list_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	if (daemon_call(request, "/v1/devices", NULL, ACCOUNT_TIMEOUT_S, &answer, &failure) != EXIT_DONE)
		return output_failure(request->json, &failure);
	if (request->json) {
		output_json(answer, NULL);
	} else {
		size_t index;
		json_t *device;
		json_array_foreach(json_object_get(answer, "devices"), index, device)
			print_device(device);
	}
	json_decref(answer);
	return EXIT_DONE;
}

static enum exit_code send_revoke(const struct request *request, json_t **answer, struct failure *failure)
{
	char secret[PASSWORD_BYTES_MAX + 2] = { 0 };
	bool words = request->words || request->words_file != NULL;
	enum exit_code code;
	if (words && request->password_file != NULL)
		return failure_set(failure, EXIT_USAGE, "one_secret",
			    "a device is revoked with the password or with the recovery words", "give one of them");
	if (words)
		code = secret_words(request->words_file, secret, failure);
	else
		code = secret_password(request->password_file, "Password: ", false, secret, failure);
	if (code == EXIT_DONE) {
		json_t *body = json_pack("{s:s, s:s}", "device", request->operand, words ? "words" : "password", secret);
		if (body == NULL)
			code = failure_set(failure, EXIT_USAGE, "not_utf8", "device, words and password must be UTF-8", "");
		else
			code = daemon_call(request, "/v1/devices/revoke", body, ACCOUNT_TIMEOUT_S, answer, failure);
		json_decref(body);
	}
	explicit_bzero(secret, sizeof(secret));
	return code;
}

enum exit_code device_revoke_run(const struct request *request)
{
	static const char later[] = "the server cannot be reached; the account's other devices hear of it when it is back";
	struct failure failure;
	json_t *answer = NULL;
	if (send_revoke(request, &answer, &failure) != EXIT_DONE)
		return output_failure(request->json, &failure);
	bool pending = json_is_true(json_object_get(answer, "pending"));
	if (request->json)
		output_json(answer, pending ? later : NULL);
	else
		printf("%s is removed; what it has read already may have been copied\n",
		       member_text(json_object_get(answer, "device"), "name", "?"));
	if (!request->json && pending)
		fprintf(stderr, "freehold: %s\n", later);
	json_decref(answer);
	return EXIT_DONE;
}

enum exit_code device_rename_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s, s:s}", "device", request->operand, "name", request->operand2);
	enum exit_code code;
	if (body == NULL)
		code = failure_set(&failure, EXIT_USAGE, "not_utf8", "names must be UTF-8", "");
	else
		code = daemon_call(request, "/v1/devices/rename", body, ACCOUNT_TIMEOUT_S, &answer, &failure);
	json_decref(body);
	if (code != EXIT_DONE)
		return output_failure(request->json, &failure);
	if (request->json)
		output_json(answer, NULL);
	else
		print_device(answer);
	json_decref(answer);
	return EXIT_DONE;
}
