#pragma once

#include "api/object.h"

/* Shared by api/irqfd.c, api/ioeventfd.c and api/eventfd.c. */
struct irqfd;
struct ioeventfd;

struct eventfds {
	pthread_mutex_t irqfd_lock; /* list and delivery */
	struct irqfd *irqfds;
	int epoll_fd; /* -1: the service thread does not run yet */
	int stop_fd;
	pthread_t thread;

	pthread_rwlock_t io_lock;
	struct ioeventfd *ioeventfds;
	uint32_t nr_ioeventfds;
};

/*
 * eventfd_id - the kernel's number of the eventfd behind @fd, which tells
 * whether two descriptors are the same eventfd.  -EBADF, or -EINVAL if it is
 * none.
 */
int64_t eventfd_id(int fd);

/* eventfd_signal - adds 1. */
void eventfd_signal(int fd);

void irqfd_free_all(struct eventfds *e);
void ioeventfd_free_all(struct eventfds *e);
