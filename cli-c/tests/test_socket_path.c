/* Where the socket is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "socket_path.h"

static void the_most_specific_place_wins(void **state)
{
	(void)state;
	char path[SOCKET_PATH_LEN];
	setenv("HOME", "/home/eva", 1);
	unsetenv("FREEHOLD_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_DATA_HOME");
	assert_true(socket_path(NULL, path));
	assert_string_equal(path, "/home/eva/.local/share/freehold/run/clientd.sock");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_true(socket_path(NULL, path));
	assert_string_equal(path, "/run/user/7/freehold/clientd.sock");
	setenv("FREEHOLD_HOME", "/tmp/f", 1);
	assert_true(socket_path(NULL, path));
	assert_string_equal(path, "/tmp/f/run/clientd.sock");
	assert_true(socket_path("/x.sock", path));
	assert_string_equal(path, "/x.sock");
}

static void a_path_the_kernel_would_cut_is_refused(void **state)
{
	(void)state;
	char path[SOCKET_PATH_LEN];
	char long_home[200];
	memset(long_home, 'a', sizeof(long_home) - 1);
	long_home[0] = '/';
	long_home[sizeof(long_home) - 1] = '\0';
	setenv("FREEHOLD_HOME", long_home, 1);
	assert_false(socket_path(NULL, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_specific_place_wins),
		cmocka_unit_test(a_path_the_kernel_would_cut_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
