/*
 * New recovery words on their way to the user.
 */
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool words_open(const struct request *request, int *fd, struct failure *failure)
{
	const char *file = request->recovery_file;
	*fd = -1;
	if (file == NULL)
		return true;
	*fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (*fd < 0) {
		char message[512];
		snprintf(message, sizeof(message), "could not create the recovery file %s: %s", file, strerror(errno));
		failure_set(failure, errno == EEXIST ? EXIT_CONFLICT : EXIT_FAILED, "recovery_file", message,
		     "name a new file with --recovery-file");
	}
	return *fd >= 0;
}

void words_discard(const struct request *request, int fd)
{
	if (fd < 0)
		return;
	unlink(request->recovery_file);
	close(fd);
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

/* What to warn of, or NULL. */
static const char *keep(const struct request *request, int fd, json_t *answer)
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

void words_keep(const struct request *request, int fd, json_t *answer)
{
	const char *warning = keep(request, fd, answer);
	if (request->json)
		output_json(answer, warning);
	else if (warning != NULL)
		fprintf(stderr, "freehold: %s\n", warning);
	else if (fd >= 0)
		printf("The recovery words are in %s; keep that file off this machine.\n", request->recovery_file);
	if (fd >= 0)
		close(fd);
}
