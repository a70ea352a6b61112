/*
 * pin, unpin, evict: what stays on this device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "http.h"
#include "output.h"
#include "path.h"

/* Counting a large folder takes a moment; giving up content rewrites segments of the cache. */
#define HYDRATION_TIMEOUT_S 600L

static void print_name(const json_t *answer)
{
	const char *path = member_text(answer, "path", "");
	print_text(path[0] != '\0' ? path : "the whole vault");
}

static void print_hydrated(const json_t *answer)
{
	char bytes[32];
	char missing[32];
	const char *mode = member_text(answer, "mode", "auto");
	json_int_t all = member_number(answer, "bytes");
	json_int_t here = member_number(answer, "here_bytes");
	format_bytes(all, bytes, sizeof(bytes));
	format_bytes(all - here, missing, sizeof(missing));
	if (strcmp(mode, "always") == 0)
		printf("Stays on this device: ");
	else if (strcmp(mode, "never") == 0)
		printf("On this device only while it is used: ");
	else
		printf("On this device until the room is needed: ");
	print_name(answer);
	printf(" (%lld files, %s)\n", (long long)member_number(answer, "files"), bytes);
	if (strcmp(mode, "always") == 0 && all > here)
		printf("%s still to come; `freehold status` shows how far it is\n", missing);
}

static void print_evicted(const json_t *answer)
{
	char bytes[32];
	json_int_t waiting = member_number(answer, "waiting");
	json_int_t pinned = member_number(answer, "pinned");
	format_bytes(member_number(answer, "bytes"), bytes, sizeof(bytes));
	printf("Freed %s of %lld files; they come again when they are read\n", bytes, (long long)member_number(answer, "files"));
	if (waiting > 0)
		printf("%lld stayed: they are not safe elsewhere yet (`freehold wait`, then again)\n", (long long)waiting);
	if (pinned > 0)
		printf("%lld stayed: they are pinned (`freehold unpin PATH` first)\n", (long long)pinned);
}

/* The request's body: the path as written and as it stands, and a mode where there is one. */
static json_t *body_of(const struct request *request, const char *mode)
{
	char *absolute = path_absolute(request->operand);
	json_t *body = json_pack("{s:s, s:s?}", "path", request->operand, "absolute", absolute);
	free(absolute);
	if (body != NULL && mode != NULL && json_object_set_new(body, "mode", json_string(mode)) != 0) {
		json_decref(body);
		body = NULL;
	}
	return body;
}

static enum exit_code call(const struct request *request, const char *where, const char *mode, json_t **answer,
			   struct failure *failure)
{
	json_t *body = body_of(request, mode);
	if (body == NULL)
		return failure_set(failure, EXIT_USAGE, "bad_path", "the path is not UTF-8", "name a folder above it");
	enum exit_code code = daemon_call(request, where, body, HYDRATION_TIMEOUT_S, answer, failure);
	json_decref(body);
	return code;
}

static enum exit_code pin_as(const struct request *request, const char *mode)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = call(request, "/v1/pin", mode, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		print_hydrated(answer);
	json_decref(answer);
	return code;
}

enum exit_code pin_run(const struct request *request)
{
	return pin_as(request, "always");
}

enum exit_code unpin_run(const struct request *request)
{
	return pin_as(request, "inherit");
}

enum exit_code evict_run(const struct request *request)
{
	struct failure failure;
	json_t *wish = NULL;
	json_t *answer = NULL;
	enum exit_code code = EXIT_DONE;
	if (request->always)
		code = call(request, "/v1/pin", "never", &wish, &failure);
	if (code == EXIT_DONE)
		code = call(request, "/v1/evict", NULL, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		print_evicted(answer);
	json_decref(wish);
	json_decref(answer);
	return code;
}
