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
	if (!command_is_group(argv[0]))
		return command_parse(command_find(argv[0]), argc, argv, request);
	char name[64];
	snprintf(name, sizeof(name), "%s %s", argv[0], argv[1]);
	return command_parse(command_find(name), argc - 1, argv + 1, request);
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
	assert_int_equal(parse("device rename laptop attic", &request), EXIT_DONE);
	assert_string_equal(request.operand, "laptop");
	assert_string_equal(request.operand2, "attic");
	assert_int_equal(parse("device revoke --words laptop", &request), EXIT_DONE);
	assert_true(request.words);
	assert_int_equal(parse("recover --server http://127.0.0.1:1 --words-file w", &request), EXIT_DONE);
	assert_string_equal(request.words_file, "w");
}

static void two_words_are_one_command_and_two_operands_are_kept_apart(void **state)
{
	(void)state;
	struct request request;
	assert_int_equal(parse("conflicts keep --json mine a/report.odt", &request), EXIT_DONE);
	assert_true(request.json);
	assert_string_equal(request.operand, "mine");
	assert_string_equal(request.operand2, "a/report.odt");
	assert_int_equal(parse("conflicts keep mine", &request), EXIT_USAGE);
	assert_true(command_is_group("conflicts"));
	assert_int_equal(parse("evict --always photos/2019", &request), EXIT_DONE);
	assert_true(request.always);
	assert_string_equal(request.operand, "photos/2019");
	assert_int_equal(parse("pin --always photos", &request), EXIT_USAGE);
	assert_int_equal(parse("unpin", &request), EXIT_USAGE);
	assert_true(command_is_group("deletions"));
	assert_false(command_is_group("conflict"));
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
	assert_int_equal(parse("device rename laptop", &request), EXIT_USAGE);
	assert_int_equal(parse("device rename a b c", &request), EXIT_USAGE);
	assert_int_equal(parse("device list laptop", &request), EXIT_USAGE);
	assert_int_equal(parse("recovery test --password-file p", &request), EXIT_USAGE);
	assert_int_equal(parse("recover --words-file w", &request), EXIT_USAGE);
	assert_int_equal(parse("passwd eva", &request), EXIT_USAGE);
}

static void a_typo_names_the_nearest_command(void **state)
{
	(void)state;
	assert_string_equal(command_nearest("satus"), "status");
	assert_string_equal(command_nearest("umount"), "unmount");
	assert_string_equal(command_nearest("device lst"), "device list");
	assert_null(command_nearest("teleport"));
	assert_null(command_find("Status"));
}

static void groups_are_no_commands(void **state)
{
	(void)state;
	assert_true(command_is_group("device") && command_is_group("recovery"));
	assert_false(command_is_group("recover"));
	assert_false(command_is_group("device list"));
	assert_null(command_find("device"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_operand_reach_the_request),
		cmocka_unit_test(two_words_are_one_command_and_two_operands_are_kept_apart),
		cmocka_unit_test(wrong_use_is_refused),
		cmocka_unit_test(a_typo_names_the_nearest_command),
		cmocka_unit_test(groups_are_no_commands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
