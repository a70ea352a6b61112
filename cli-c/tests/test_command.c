/* The command table: what parses, what is refused, what a typo is taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "command.h"

/* Parses `words`, split at blanks; the words outlive the request. */
static enum exit_code parse(const char *words, struct request *request)
{
	static char line[256];
	char *argv[16] = { 0 };
	int argc = 0;
	snprintf(line, sizeof(line), "%s", words);
	for (char *word = strtok(line, " "); word != NULL && argc < 15; word = strtok(NULL, " "))
		argv[argc++] = word;
	return command_parse(command_find(argv[0]), argc, argv, request);
}

static void options_and_operand_reach_the_request(void **state)
{
	(void)state;
	struct request request;
	assert_int_equal(parse("mount --json /mnt/vault", &request), EXIT_DONE);
	assert_true(request.json);
	assert_string_equal(request.operand, "/mnt/vault");
	assert_int_equal(parse("wait --timeout 30", &request), EXIT_DONE);
	assert_int_equal(request.timeout_s, 30);
}

static void two_words_are_one_command_and_two_operands_are_kept_apart(void **state)
{
	(void)state;
	char line[] = "conflicts keep --json mine a/report.odt";
	char *argv[] = { line, line + 10, line + 15, line + 22, line + 27, NULL };
	line[9] = line[14] = line[21] = line[26] = '\0';
	int words = 0;
	struct request request;
	const struct command *command = command_match(5, argv, &words);
	assert_non_null(command);
	assert_int_equal(words, 2);
	assert_int_equal(command_parse(command, 4, argv + 1, &request), EXIT_DONE);
	assert_string_equal(request.operand, "mine");
	assert_string_equal(request.second, "a/report.odt");
	char less[] = "keep mine";
	char *one_operand[] = { less, less + 5, NULL };
	less[4] = '\0';
	assert_int_equal(command_parse(command, 2, one_operand, &request), EXIT_USAGE);
	assert_null(command_match(1, argv, &words));
	assert_true(command_is_group("conflicts"));
	assert_false(command_is_group("conflict"));
	char wait[] = "wait";
	char *one[] = { wait, less, NULL };
	assert_ptr_equal(command_match(2, one, &words), command_find("wait"));
	assert_int_equal(words, 1);
}

static void wrong_use_is_refused(void **state)
{
	(void)state;
	struct request request;
	assert_int_equal(parse("mount --json", &request), EXIT_USAGE);
	assert_int_equal(parse("mount a b", &request), EXIT_USAGE);
	assert_int_equal(parse("wait --timeout soon", &request), EXIT_USAGE);
	assert_int_equal(parse("wait --timeout -1", &request), EXIT_USAGE);
	assert_int_equal(parse("wait --timeout", &request), EXIT_USAGE);
	assert_int_equal(parse("status --user eva", &request), EXIT_USAGE);
	assert_int_equal(parse("status --nonsense", &request), EXIT_USAGE);
	assert_int_equal(parse("signup --user eva", &request), EXIT_USAGE);
}

static void a_typo_names_the_nearest_command(void **state)
{
	(void)state;
	assert_string_equal(command_nearest("satus"), "status");
	assert_string_equal(command_nearest("umount"), "unmount");
	assert_null(command_nearest("teleport"));
	assert_null(command_find("Status"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_operand_reach_the_request),
		cmocka_unit_test(two_words_are_one_command_and_two_operands_are_kept_apart),
		cmocka_unit_test(wrong_use_is_refused),
		cmocka_unit_test(a_typo_names_the_nearest_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
