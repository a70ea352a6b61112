/*
 * One request to the daemon over its Unix socket.
 */
#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"
#include "socket_path.h"

struct buffer {
	char *bytes;
	size_t len;
	bool too_long;
	long control; /* the daemon's control version, 0 when it said none */
};

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
	struct buffer *buffer = user;
	size_t len = size * count;
	if (len > ANSWER_BYTES_MAX - buffer->len) {
		buffer->too_long = true;
		return 0;
	}
	char *grown = realloc(buffer->bytes, buffer->len + len + 1);
	if (grown == NULL)
		return 0;
	memcpy(grown + buffer->len, bytes, len);
	buffer->bytes = grown;
	buffer->len += len;
	grown[buffer->len] = '\0';
	return len;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
	static const char name[] = "freehold-control:";
	struct buffer *buffer = user;
	char line[64] = { 0 };
	size_t len = size * count;
	if (len < sizeof(line)) {
		memcpy(line, bytes, len);
		if (strncasecmp(line, name, sizeof(name) - 1) == 0)
			buffer->control = strtol(line + sizeof(name) - 1, NULL, 10);
	}
	return len;
}

enum exit_code daemon_error(const char *text, size_t text_len, long status, struct failure *failure)
{
	json_t *error = json_loadb(text != NULL ? text : "", text_len, 0, NULL);
	json_int_t exit = member_number(error, "exit");
	if (!json_is_object(error) || exit < 1 || exit > EXIT_CODE_LAST) {
		char message[96];
		snprintf(message, sizeof(message), "the daemon answered %ld without saying why", status);
		failure_set(failure, EXIT_FAILED, "unknown_answer", message, "see the daemon's log");
	} else {
		failure_set(failure, (enum exit_code)exit, member_text(error, "code", "failed"),
		     member_text(error, "message", "the daemon could not do it"), member_text(error, "hint", ""));
		failure->retryable = json_is_true(json_object_get(error, "retryable"));
	}
	json_decref(error);
	return failure->exit;
}

static enum exit_code transport_error(CURLcode result, const struct buffer *buffer, const char *socket, struct failure *failure)
{
	char message[512];
	if (result == CURLE_COULDNT_CONNECT) {
		snprintf(message, sizeof(message), "the daemon is not running (no answer at %s)", socket);
		return failure_set(failure, EXIT_NO_DAEMON, "no_daemon", message, "start it with `./x up` or `freehold-clientd`");
	}
	if (result == CURLE_OPERATION_TIMEDOUT)
		return failure_set(failure, EXIT_TIMED_OUT, "timed_out", "the daemon did not answer in time", "try again, or see its log");
	if (buffer->too_long)
		return failure_set(failure, EXIT_FAILED, "answer_too_long", "the daemon's answer is over 1 MiB", "");
	snprintf(message, sizeof(message), "talking to the daemon failed: %s", curl_easy_strerror(result));
	return failure_set(failure, EXIT_FAILED, "transport", message, "try again, or see its log");
}

static enum exit_code judge(const struct buffer *buffer, long status, json_t **answer, struct failure *failure)
{
	if (buffer->control != CONTROL_VERSION)
		return failure_set(failure, EXIT_VERSION_MISMATCH, "version_mismatch",
			    "the daemon speaks another version of the control API than this command",
			    "install both from one release and restart the daemon");
	if (status < 200 || status > 299)
		return daemon_error(buffer->bytes, buffer->len, status, failure);
	*answer = NULL;
	if (buffer->len == 0)
		return EXIT_DONE;
	*answer = json_loadb(buffer->bytes, buffer->len, 0, NULL);
	if (*answer == NULL)
		return failure_set(failure, EXIT_FAILED, "bad_answer", "the daemon's answer is not JSON", "see its log");
	return EXIT_DONE;
}

enum exit_code daemon_call(const struct request *request, const char *path, json_t *body, long timeout_s, json_t **answer,
			   struct failure *failure)
{
	enum exit_code code = EXIT_FAILED;
	struct buffer buffer = { 0 };
	char url[128];
	char socket[SOCKET_PATH_LEN];
	char *text = NULL;
	struct curl_slist *headers = NULL;
	CURL *curl = NULL;

	if (!socket_path(request->socket, socket)) {
		code = failure_set(failure, EXIT_USAGE, "no_socket", "neither FREEHOLD_HOME nor HOME says where the daemon's socket is",
			    "name it with --socket PATH");
		goto done;
	}
	snprintf(url, sizeof(url), "http://freehold%s", path);
	curl = curl_easy_init();
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	if (curl == NULL || headers == NULL || (body != NULL && text == NULL)) {
		code = failure_set(failure, EXIT_FAILED, "no_memory", "out of memory", "");
		goto done;
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, timeout_s);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &buffer);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &buffer);
	if (text != NULL)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
	CURLcode result = curl_easy_perform(curl);
	if (result != CURLE_OK) {
		code = transport_error(result, &buffer, socket, failure);
		goto done;
	}
	long status = 0;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	code = judge(&buffer, status, answer, failure);
done:
	secret_free(text);
	secret_free(buffer.bytes);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return code;
}
