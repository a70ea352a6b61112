/*
 * conflicts list, conflicts keep: what two devices wrote at once, and what of it stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "http.h"
#include "output.h"
#include "path.h"

/* Looking through a large vault, and files that were just written, take a moment. */
#define CONFLICTS_TIMEOUT_S 120L

static void print_side(const char *which, const json_t *side)
{
	char size[32];
	char written[32] = "?";
	struct tm local;
	time_t seconds = (time_t)(member_number(side, "written_ms") / 1000);
	if (localtime_r(&seconds, &local) != NULL)
		strftime(written, sizeof(written), "%Y-%m-%d %H:%M:%S", &local);
	format_bytes(member_number(side, "size"), size, sizeof(size));
	printf("%-5s %s  %8s  %s%s  ", which, written, size, member_text(side, "device", "?"),
	       json_is_true(json_object_get(side, "is_mine")) ? " (this device)" : "");
	print_text(member_text(side, "path", "?"));
	putchar('\n');
}

static void print_conflicts(const json_t *answer)
{
	const json_t *conflicts = json_object_get(answer, "conflicts");
	json_int_t total = member_number(answer, "total");
	size_t index;
	json_t *conflict;
	if (total == 0)
		printf("No conflicts\n");
	json_array_foreach(conflicts, index, conflict) {
		print_side("file", json_object_get(conflict, "file"));
		print_side("copy", json_object_get(conflict, "copy"));
		putchar('\n');
	}
	if ((json_int_t)json_array_size(conflicts) < total)
		printf("… and %lld more\n", (long long)(total - (json_int_t)json_array_size(conflicts)));
	if (total > 0)
		printf("`freehold conflicts keep mine|theirs|newest|oldest|both PATH` ends one\n");
}

enum exit_code conflicts_list_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = daemon_call(request, "/v1/conflicts", NULL, CONFLICTS_TIMEOUT_S, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		print_conflicts(answer);
	json_decref(answer);
	return code;
}

static void print_kept(const json_t *answer)
{
	const json_t *renamed = json_object_get(answer, "renamed");
	size_t index;
	json_t *name;
	printf("Kept ");
	print_text(member_text(answer, "path", "?"));
	json_array_foreach(renamed, index, name) {
		printf(", ");
		print_text(json_string_value(name));
	}
	json_int_t trashed = member_number(answer, "trashed");
	if (trashed > 0)
		printf("; %lld to the trash", (long long)trashed);
	putchar('\n');
}

static bool is_choice(const char *word)
{
	static const char *const choices[] = { "mine", "theirs", "newest", "oldest", "both" };
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (strcmp(choices[i], word) == 0)
			return true;
	return false;
}

enum exit_code conflicts_keep_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	json_t *body = NULL;
	char *absolute = NULL;
	enum exit_code code = EXIT_USAGE;
	if (!is_choice(request->operand)) {
		failure_set(&failure, code, "bad_choice", "what to keep is mine, theirs, newest, oldest or both",
			    "see `freehold conflicts keep --help`");
		goto done;
	}
	absolute = path_absolute(request->operand2);
	body = json_pack("{s:s, s:s, s:s?}", "keep", request->operand, "path", request->operand2, "absolute", absolute);
	if (body == NULL) {
		failure_set(&failure, code, "bad_path", "the path is not UTF-8", "name it as `freehold conflicts list` does");
		goto done;
	}
	code = daemon_call(request, "/v1/conflicts/keep", body, CONFLICTS_TIMEOUT_S, &answer, &failure);
done:
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		print_kept(answer);
	json_decref(answer);
	json_decref(body);
	free(absolute);
	return code;
}
