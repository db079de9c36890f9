#include "vmm/dev/hvtest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/routing.h"

#define PORT_CTL 0x3000

/* What a write to the port asks for: connection << 24 | op << 16 | CPU << 8 |
 * source. */
enum op {
	OP_ROUTE_CREATE = 1,
	OP_ROUTE_DESTROY,
	OP_ROUTE_RAISE,
	OP_MSG_CREATE,
	OP_MSG_DESTROY,
	OP_EVENT_CREATE,
	OP_EVENT_DESTROY,
};

/* Hypercalls and their status; TLFS, "Hypercall Interface". */
#define CALL_POST_MESSAGE    0x5c
#define CALL_SIGNAL_EVENT    0x5d
#define CALL_FAST	     0x10000
#define STATUS_SUCCESS	     0
#define STATUS_BAD_CODE	     2
#define STATUS_BAD_INPUT     3
#define STATUS_BAD_PARAMETER 5
#define STATUS_NO_CONNECTION 18
#define STATUS_NO_BUFFERS    19

#define PAGE_ENABLED  1
#define SLOT_SIZE     256
#define PAYLOAD_MAX   240
#define FLAG_PENDING  1
#define CONNECTION_ID 0xffffff

struct message {
	uint32_t type;
	uint8_t size, flags, reserved[2];
	uint64_t port;
	uint8_t payload[PAYLOAD_MAX];
};

struct message_input {
	uint32_t connection, reserved, type, size;
	uint8_t payload[PAYLOAD_MAX];
};

enum kind { FREE, ROUTE, MESSAGES, EVENTS };

/* A source of a CPU, with the interrupt line that raises it. */
struct link {
	enum kind kind;
	uint8_t cpu, sint, connection;
	int line_fd;
	bool pending; /* message waits until the slot is free */
	struct message message;
};

#define LINKS_MAX 64

struct hvtest {
	pthread_mutex_t lock;
	const struct kvmfd *vm;
	const struct ram *ram;
	unsigned nr_cpus;
	int ack_fd; /* a source is free again */
	struct link links[LINKS_MAX];
	uint64_t *message_page, *event_page; /* one a CPU; 0: none */
};

static unsigned gsi_of(const struct hvtest *h, const struct link *l)
{
	return ROUTING_FREE_GSI + (unsigned)(l - h->links);
}

static void raise_line(struct hvtest *h, const struct link *l)
{
	struct kvm_irq_level irq = { .irq = gsi_of(h, l), .level = 1 };

	kvmfd_ioctl(h->vm, KVM_IRQ_LINE, &irq);
}

static void set_routes(struct hvtest *h)
{
	struct kvm_irq_routing_entry extra[LINKS_MAX];
	unsigned nr = 0;

	for (struct link *l = h->links; l < h->links + LINKS_MAX; l++)
		if (l->kind != FREE)
			extra[nr++] = (struct kvm_irq_routing_entry){
				.gsi = gsi_of(h, l),
				.type = KVM_IRQ_ROUTING_HV_SINT,
				.u.hv_sint = { .vcpu = l->cpu,
					       .sint = l->sint },
			};
	routing_set(h->vm, extra, nr);
}

/* An irqfd with resampling tells, by ack_fd, when the source is free. */
static void watch(struct hvtest *h, struct link *l, bool on)
{
	struct kvm_irqfd irqfd = {
		.fd = l->line_fd,
		.gsi = gsi_of(h, l),
		.flags = on ? KVM_IRQFD_FLAG_RESAMPLE : KVM_IRQFD_FLAG_DEASSIGN,
		.resamplefd = h->ack_fd,
	};

	kvmfd_ioctl(h->vm, KVM_IRQFD, &irqfd);
}

static struct link *find(struct hvtest *h, enum kind kind, int cpu, int sint,
			 int connection)
{
	for (struct link *l = h->links; l < h->links + LINKS_MAX; l++)
		if (l->kind == kind && (cpu < 0 || l->cpu == cpu) &&
		    (sint < 0 || l->sint == sint) &&
		    (connection < 0 || l->connection == connection))
			return l;
	return NULL;
}

static void create(struct hvtest *h, enum kind kind, uint8_t cpu, uint8_t sint,
		   uint8_t connection)
{
	struct link *l = find(h, FREE, -1, -1, -1);

	if (!l || cpu >= h->nr_cpus || sint > 15)
		return;
	*l = (struct link){
		.kind = kind, .cpu = cpu, .sint = sint, .connection = connection
	};
	l->line_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	set_routes(h);
	watch(h, l, true);
}

static void destroy(struct hvtest *h, struct link *l)
{
	if (!l)
		return;
	watch(h, l, false);
	close(l->line_fd);
	l->kind = FREE;
	set_routes(h);
}

static void hvtest_control(void *dev, uint64_t offset, unsigned len,
			   uint64_t val)
{
	uint8_t sint = val, cpu = val >> 8, op = val >> 16, id = val >> 24;
	struct hvtest *h = dev;
	struct link *l;

	pthread_mutex_lock(&h->lock);
	switch (op) {
	case OP_ROUTE_CREATE:
		create(h, ROUTE, cpu, sint, 0);
		break;
	case OP_ROUTE_DESTROY:
		destroy(h, find(h, ROUTE, cpu, sint, -1));
		break;
	case OP_ROUTE_RAISE:
		l = find(h, ROUTE, cpu, sint, -1);
		if (l)
			raise_line(h, l);
		break;
	case OP_MSG_CREATE:
		create(h, MESSAGES, cpu, sint, id);
		break;
	case OP_MSG_DESTROY:
		destroy(h, find(h, MESSAGES, -1, -1, id));
		break;
	case OP_EVENT_CREATE:
		create(h, EVENTS, cpu, sint, id);
		break;
	case OP_EVENT_DESTROY:
		destroy(h, find(h, EVENTS, -1, -1, id));
		break;
	}
	pthread_mutex_unlock(&h->lock);
}

static const struct bus_ops hvtest_ops = {
	.name = "Hyper-V test",
	.write = hvtest_control,
	.max_len = 4,
};

/* The slot of a link's source in one of its CPU's pages; NULL: not enabled. */
static void *slot(struct hvtest *h, const struct link *l, const uint64_t *pages)
{
	uint64_t page = pages[l->cpu];

	if (!(page & PAGE_ENABLED))
		return NULL;
	return ram_ptr(h->ram, (page & PAGE_MASK) + l->sint * SLOT_SIZE,
		       SLOT_SIZE);
}

/*
 * The guest empties the slot, then looks at the flag: the flag is set, then the
 * slot looked at again.
 */
static void try_send(struct hvtest *h, struct link *l)
{
	struct message *m = slot(h, l, h->message_page);

	if (!m)
		return;
	if (__atomic_load_n(&m->type, __ATOMIC_SEQ_CST)) {
		__atomic_fetch_or(&m->flags, FLAG_PENDING, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&m->type, __ATOMIC_SEQ_CST))
			return;
	}
	memcpy((uint8_t *)m + sizeof(m->type),
	       (uint8_t *)&l->message + sizeof(m->type),
	       sizeof(*m) - sizeof(m->type));
	__atomic_store_n(&m->type, l->message.type, __ATOMIC_SEQ_CST);
	l->pending = false;
	raise_line(h, l);
}

static void hvtest_acked(void *arg)
{
	struct hvtest *h = arg;
	uint64_t count;

	if (read(h->ack_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&h->lock);
	for (struct link *l = h->links; l < h->links + LINKS_MAX; l++)
		if (l->kind == MESSAGES && l->pending)
			try_send(h, l);
	pthread_mutex_unlock(&h->lock);
}

static uint64_t post_message(struct hvtest *h, gpa_t gpa)
{
	const struct message_input *in = ram_ptr(h->ram, gpa, sizeof(*in));
	struct message_input copy;
	struct link *l;

	if (!in || (gpa & 7))
		return STATUS_BAD_INPUT;
	memcpy(&copy, in, sizeof(copy));
	if (copy.size > PAYLOAD_MAX || !copy.type || copy.type >> 31)
		return STATUS_BAD_PARAMETER;
	l = copy.connection >> 8 ? NULL
				 : find(h, MESSAGES, -1, -1, copy.connection);
	if (!l)
		return STATUS_NO_CONNECTION;
	if (l->pending)
		return STATUS_NO_BUFFERS;
	l->message = (struct message){ .type = copy.type,
				       .size = copy.size,
				       .port = copy.connection };
	memcpy(l->message.payload, copy.payload, copy.size);
	l->pending = true;
	try_send(h, l);
	return STATUS_SUCCESS;
}

static uint64_t signal_event(struct hvtest *h, uint64_t input, uint64_t param)
{
	uint32_t connection;
	struct link *l;
	uint8_t *flags, bit;

	if (!(input & CALL_FAST)) {
		const uint64_t *in = ram_ptr(h->ram, param, sizeof(*in));

		if (!in || (param & 7))
			return STATUS_BAD_INPUT;
		param = *in;
	}
	/* A flag's number, in bits 47:32, would be added to the event's. */
	if (param >> 32)
		return STATUS_BAD_INPUT;
	connection = param & CONNECTION_ID;
	l = connection >> 8 ? NULL : find(h, EVENTS, -1, -1, connection);
	if (!l)
		return STATUS_NO_CONNECTION;
	flags = slot(h, l, h->event_page);
	if (!flags)
		return STATUS_BAD_INPUT;
	bit = 1 << connection % 8;
	if (!(__atomic_fetch_or(&flags[connection / 8], bit, __ATOMIC_SEQ_CST) &
	      bit))
		raise_line(h, l);
	return STATUS_SUCCESS;
}

static uint64_t hypercall(struct hvtest *h, uint64_t input, uint64_t param)
{
	switch ((uint16_t)input) {
	case CALL_POST_MESSAGE:
		return input & CALL_FAST ? STATUS_BAD_INPUT
					 : post_message(h, param);
	case CALL_SIGNAL_EVENT:
		return signal_event(h, input, param);
	default:
		return STATUS_BAD_CODE;
	}
}

void hvtest_exit(struct hvtest *h, unsigned cpu, struct kvm_run *run)
{
	struct kvm_hyperv_exit *e = &run->hyperv;

	if (!h) {
		if (e->type == KVM_EXIT_HYPERV_HCALL)
			e->u.hcall.result = STATUS_BAD_CODE;
		return;
	}
	pthread_mutex_lock(&h->lock);
	if (e->type == KVM_EXIT_HYPERV_SYNIC) {
		bool on = e->u.synic.control & PAGE_ENABLED;

		h->message_page[cpu] = on ? e->u.synic.msg_page : 0;
		h->event_page[cpu] = on ? e->u.synic.evt_page : 0;
	} else if (e->type == KVM_EXIT_HYPERV_HCALL) {
		e->u.hcall.result =
			hypercall(h, e->u.hcall.input, e->u.hcall.params[0]);
	}
	pthread_mutex_unlock(&h->lock);
}

struct hvtest *hvtest_new(struct bus *pio, struct loop *loop,
			  const struct kvmfd *vm, const struct ram *ram,
			  unsigned nr_cpus)
{
	struct hvtest *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	h->vm = vm;
	h->ram = ram;
	h->nr_cpus = nr_cpus;
	h->ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->message_page = calloc(nr_cpus, sizeof(h->message_page[0]));
	h->event_page = calloc(nr_cpus, sizeof(h->event_page[0]));
	if (h->ack_fd >= 0 && h->message_page && h->event_page &&
	    loop_add_fd(loop, h->ack_fd, hvtest_acked, h) == 0 &&
	    bus_add(pio, PORT_CTL, 4, &hvtest_ops, h) == 0)
		return h;
	hvtest_free(h);
	return NULL;
}

void hvtest_free(struct hvtest *h)
{
	if (!h)
		return;
	for (struct link *l = h->links; l < h->links + LINKS_MAX; l++)
		if (l->kind != FREE)
			close(l->line_fd);
	if (h->ack_fd >= 0)
		close(h->ack_fd);
	free(h->message_page);
	free(h->event_page);
	free(h);
}
