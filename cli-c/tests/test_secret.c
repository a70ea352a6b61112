/* Passwords and recovery words from files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret.h"

static enum exit_code read_back(const char *content, size_t len, char *password)
{
	char name[] = "/tmp/freehold-secret-XXXXXX";
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), (ssize_t)len);
	close(fd);
	struct failure failure;
	enum exit_code code = secret_password(name, "", false, password, &failure);
	unlink(name);
	return code;
}

static void only_the_first_line_counts_and_its_end_does_not(void **state)
{
	(void)state;
	char password[PASSWORD_BYTES_MAX + 2];
	static const char *const files[] = { "pass word", "pass word\n", "pass word\r\n", "pass word\nsecond\n" };
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(read_back(files[i], strlen(files[i]), password), EXIT_DONE);
		assert_string_equal(password, "pass word");
	}
}

static void empty_missing_and_overlong_files_are_refused(void **state)
{
	(void)state;
	char password[PASSWORD_BYTES_MAX + 2];
	char long_line[PASSWORD_BYTES_MAX + 10];
	memset(long_line, 'a', sizeof(long_line));
	assert_int_equal(read_back("", 0, password), EXIT_USAGE);
	assert_int_equal(read_back("\n", 1, password), EXIT_USAGE);
	assert_int_equal(read_back(long_line, sizeof(long_line), password), EXIT_USAGE);
	assert_int_equal(read_back(long_line, PASSWORD_BYTES_MAX, password), EXIT_DONE);
	struct failure failure;
	assert_int_equal(secret_password("/nonexistent/file", "", false, password, &failure), EXIT_NOT_FOUND);
	assert_non_null(strstr(failure.message, "/nonexistent/file"));
}

static enum exit_code words_back(const char *content, size_t len, char *words)
{
	char name[] = "/tmp/freehold-secret-XXXXXX";
	int fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), (ssize_t)len);
	close(fd);
	struct failure failure;
	enum exit_code code = secret_words(name, words, &failure);
	unlink(name);
	return code;
}

static void words_may_stand_on_several_lines(void **state)
{
	(void)state;
	char words[PASSWORD_BYTES_MAX + 2];
	assert_int_equal(words_back("abandon\nabout\n", 14, words), EXIT_DONE);
	assert_string_equal(words, "abandon\nabout\n");
}

static void a_words_file_that_is_empty_overlong_or_no_text_is_refused(void **state)
{
	(void)state;
	char words[PASSWORD_BYTES_MAX + 2];
	char content[PASSWORD_BYTES_MAX + 10];
	memset(content, 'a', sizeof(content));
	assert_int_equal(words_back("", 0, words), EXIT_USAGE);
	assert_int_equal(words_back("a\0b", 3, words), EXIT_USAGE);
	assert_int_equal(words_back(content, sizeof(content), words), EXIT_USAGE);
	assert_int_equal(words_back(content, PASSWORD_BYTES_MAX, words), EXIT_DONE);
	struct failure failure;
	assert_int_equal(secret_words("/nonexistent/file", words, &failure), EXIT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_first_line_counts_and_its_end_does_not),
		cmocka_unit_test(empty_missing_and_overlong_files_are_refused),
		cmocka_unit_test(words_may_stand_on_several_lines),
		cmocka_unit_test(a_words_file_that_is_empty_overlong_or_no_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
