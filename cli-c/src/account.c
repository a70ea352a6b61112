/*
 * signup, login, logout, whoami.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "http.h"
#include "output.h"
#include "secret.h"

/* A sign-up may wait for Argon2id here and a slow disk at the server. */
#define ACCOUNT_TIMEOUT_S 120L

static void print_who(const json_t *who)
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
	enum exit_code code = secret_password(request->password_file, confirm, password, failure);
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

/* The recovery file is made first: an account whose words cannot be kept is never created. */
static int open_recovery_file(const char *file, struct failure *failure)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		char message[512];
		snprintf(message, sizeof(message), "could not create the recovery file %s: %s", file, strerror(errno));
		failure_set(failure, errno == EEXIST ? EXIT_CONFLICT : EXIT_FAILED, "recovery_file", message,
		     "name a new file with --recovery-file");
	}
	return fd;
}

static bool write_words(int fd, const char *words)
{
	size_t len = strlen(words);
	return write(fd, words, len) == (ssize_t)len && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
}

static void print_words(const char *words)
{
	printf("\nYour recovery words: write them down, they are shown once and open your vault without the password.\n\n  %s\n\n",
	       words);
}

/* Keeps the words in the file, or shows them: they exist nowhere else. */
static const char *keep_words(const struct request *request, int fd, json_t *answer)
{
	const char *words = member_text(answer, "recovery_words", "");
	if (fd < 0) {
		if (!request->json)
			print_words(words);
		return NULL;
	}
	if (!write_words(fd, words)) {
		if (!request->json)
			print_words(words);
		return "the recovery file could not be written; the words are in this answer instead";
	}
	json_object_set_new(answer, "recovery_file", json_string(request->recovery_file));
	json_object_del(answer, "recovery_words");
	return NULL;
}

enum exit_code signup_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	int fd = -1;
	if (request->recovery_file != NULL && (fd = open_recovery_file(request->recovery_file, &failure)) < 0)
		return output_failure(request->json, &failure);
	enum exit_code code = send_credentials(request, "/v1/signup", true, &answer, &failure);
	if (code != EXIT_DONE) {
		if (fd >= 0)
			unlink(request->recovery_file);
		output_failure(request->json, &failure);
	} else {
		if (!request->json)
			print_who(answer);
		const char *warning = keep_words(request, fd, answer);
		if (request->json)
			output_json(answer, warning);
		else if (warning != NULL)
			fprintf(stderr, "freehold: %s\n", warning);
		else if (fd >= 0)
			printf("The recovery words are in %s; keep that file off this machine.\n", request->recovery_file);
	}
	if (fd >= 0)
		close(fd);
	json_decref(answer);
	return code;
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
