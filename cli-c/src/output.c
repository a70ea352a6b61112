/*
 * What the user sees.
 */
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void copy(char *to, size_t to_len, const char *from)
{
	snprintf(to, to_len, "%s", from);
}

enum exit_code failure_set(struct failure *failure, enum exit_code exit, const char *code, const char *message, const char *hint)
{
	*failure = (struct failure){ .exit = exit };
	copy(failure->code, sizeof(failure->code), code);
	copy(failure->message, sizeof(failure->message), message);
	copy(failure->hint, sizeof(failure->hint), hint);
	return exit;
}

enum exit_code output_failure(bool json, const struct failure *failure)
{
	if (!json) {
		fprintf(stderr, "freehold: %s%s%s\n", failure->message, failure->hint[0] != '\0' ? "; " : "", failure->hint);
		return failure->exit;
	}
	json_t *envelope = json_pack("{s:i, s:b, s:{s:s, s:s, s:s, s:b}}", "schema", 1, "ok", 0, "error", "code",
				     failure->code, "message", failure->message, "hint", failure->hint, "retryable",
				     (int)failure->retryable);
	if (envelope == NULL || json_dumpf(envelope, stdout, JSON_COMPACT) != 0)
		fprintf(stderr, "freehold: %s (and the answer could not be printed as JSON)\n", failure->message);
	else
		putchar('\n');
	json_decref(envelope);
	return failure->exit;
}

void output_json(const json_t *data, const char *warning)
{
	json_t *warnings = json_array();
	if (warning != NULL)
		json_array_append_new(warnings, json_string(warning));
	json_t *copy_of_data = data != NULL ? json_deep_copy(data) : json_object();
	json_t *envelope = json_pack("{s:i, s:b, s:o, s:o}", "schema", 1, "ok", 1, "data", copy_of_data, "warnings", warnings);
	if (envelope == NULL || json_dumpf(envelope, stdout, JSON_COMPACT) != 0)
		fprintf(stderr, "freehold: the answer could not be printed as JSON\n");
	else
		putchar('\n');
	json_decref(envelope);
}

void print_text(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;
		/* U+0080 to U+009F are C2 80 to C2 9F in UTF-8. */
		bool is_c1 = byte == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] <= 0x9f;
		putchar(byte < 0x20 || byte == 0x7f || is_c1 ? '?' : byte);
		if (is_c1)
			text++;
	}
}

const char *member_text(const json_t *object, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text != NULL ? text : otherwise;
}

json_int_t member_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

void format_bytes(json_int_t bytes, char *text, size_t text_len)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	if (bytes < 1024) {
		snprintf(text, text_len, "%lld B", (long long)bytes);
		return;
	}
	double value = (double)bytes / 1024;
	size_t unit = 0;
	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, text_len, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

enum exit_code output_flush(enum exit_code code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	fprintf(stderr, "freehold: could not write the answer: %s\n", strerror(errno));
	return code != EXIT_DONE ? code : EXIT_FAILED;
}
