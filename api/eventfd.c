#include "api/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/eventfd_int.h"

/* number_after - the decimal number that follows @key in @text, or -1. */
static int64_t number_after(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoll(p + strlen(key), NULL, 10) : -1;
}

int64_t eventfd_id(int fd)
{
	char path[64], text[512];
	int64_t id;
	ssize_t n;
	int info;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -EINVAL;
	n = read(info, text, sizeof(text) - 1);
	close(info);
	if (n <= 0)
		return -EINVAL;
	text[n] = 0;
	if (!strstr(text, "eventfd-count:"))
		return -EINVAL;
	id = number_after(text, "eventfd-id:");
	return id < 0 ? -EINVAL : id;
}

void eventfd_signal(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

int eventfds_create(struct api_vm *avm)
{
	struct eventfds *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	pthread_mutex_init(&e->irqfd_lock, NULL);
	pthread_rwlock_init(&e->io_lock, NULL);
	e->epoll_fd = -1;
	e->stop_fd = -1;
	avm->eventfds = e;
	return 0;
}

void eventfds_destroy(struct api_vm *avm)
{
	struct eventfds *e = avm->eventfds;

	if (!e)
		return;
	if (e->epoll_fd >= 0) {
		eventfd_signal(e->stop_fd);
		pthread_join(e->thread, NULL);
		close(e->epoll_fd);
		close(e->stop_fd);
	}
	irqfd_free_all(e);
	ioeventfd_free_all(e);
	pthread_rwlock_destroy(&e->io_lock);
	pthread_mutex_destroy(&e->irqfd_lock);
	free(e);
}
