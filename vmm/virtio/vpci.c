#include "vmm/virtio/vpci.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>

#define VENDOR		0x1af4
#define ID_TRANSITIONAL 0x1000 /* + device id - 1 */

/* The bars: legacy registers, MSI-X, modern registers. */
#define BAR_LEGACY    0
#define BAR_MSIX      1
#define BAR_MODERN    4
#define LEGACY_SIZE   0x80
#define MODERN_SIZE   0x4000
#define MODERN_COMMON 0x0000
#define MODERN_ISR    0x1000
#define MODERN_CONFIG 0x2000
#define MODERN_NOTIFY 0x3000
#define MODERN_PART   0x1000
#define NOTIFY_STRIDE 4

#define LEGACY_FEATURES 0xffffffffull
#define FEATURE(bit)	(1ull << (bit))
#define ISR_QUEUE	1
#define ISR_CONFIG	2

static uint64_t vpci_features(const struct vpci *v)
{
	return v->ops->features | FEATURE(VIRTIO_F_VERSION_1) |
	       FEATURE(VIRTIO_F_ANY_LAYOUT) |
	       FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
	       FEATURE(VIRTIO_RING_F_EVENT_IDX);
}

/* Interrupts. */

static void vpci_interrupt(struct vpci *v, uint8_t isr, uint16_t vector)
{
	if (msix_enabled(&v->msix)) {
		msix_send(&v->msix, vector);
		return;
	}
	v->isr |= isr;
	pci_set_intx(&v->func, true);
}

void vpci_signal(struct vpci *v, unsigned queue)
{
	pthread_mutex_lock(&v->irq_lock);
	vpci_interrupt(v, ISR_QUEUE, v->queue_vector[queue]);
	pthread_mutex_unlock(&v->irq_lock);
}

void vpci_fail(struct vpci *v)
{
	pthread_mutex_lock(&v->irq_lock);
	v->failed = true;
	vpci_interrupt(v, ISR_CONFIG, v->vector);
	pthread_mutex_unlock(&v->irq_lock);
}

static uint8_t vpci_take_isr(struct vpci *v)
{
	uint8_t isr;

	pthread_mutex_lock(&v->irq_lock);
	isr = v->isr;
	v->isr = 0;
	pci_set_intx(&v->func, false);
	pthread_mutex_unlock(&v->irq_lock);
	return isr;
}

static void vpci_set_vector(struct vpci *v, uint16_t *at, uint16_t vector)
{
	pthread_mutex_lock(&v->irq_lock);
	*at = vector < v->msix.nr ? vector : MSIX_NONE;
	pthread_mutex_unlock(&v->irq_lock);
}

/* State. */

static void vpci_reset(struct vpci *v)
{
	v->ops->reset(v->dev);
	for (unsigned i = 0; i < v->ops->nr_queues; i++) {
		queue_stop(&v->queues[i]);
		v->queues[i].size = v->ops->queue_size;
		vpci_set_vector(v, &v->queue_vector[i], MSIX_NONE);
	}
	vpci_set_vector(v, &v->vector, MSIX_NONE);
	v->status = 0;
	v->failed = false;
	v->driver_features = 0;
	v->feature_select = v->driver_select = 0;
	v->queue_select = 0;
	vpci_take_isr(v);
}

static void vpci_set_status(struct vpci *v, uint8_t status)
{
	if (!status) {
		vpci_reset(v);
		return;
	}
	if (v->driver_features & ~vpci_features(v))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	v->status = status & ~VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint8_t vpci_status(const struct vpci *v)
{
	return v->status | (v->failed ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
}

static void vpci_set_features(struct vpci *v, unsigned word, uint32_t val)
{
	uint64_t mask = 0xffffffffull << 32 * word;

	if (word > 1 || (v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	v->driver_features =
		(v->driver_features & ~mask) | (uint64_t)val << 32 * word;
}

static struct queue *vpci_queue(struct vpci *v)
{
	return v->queue_select < v->ops->nr_queues ? &v->queues[v->queue_select]
						   : NULL;
}

static void vpci_start_queue(struct vpci *v, struct queue *q)
{
	if (q->ready)
		return;
	q->event_idx = v->driver_features & FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (queue_start(q))
		vpci_fail(v);
}

/* Modern registers. */

static void vpci_fill_common(struct vpci *v, struct virtio_pci_common_cfg *c)
{
	const struct queue *q = vpci_queue(v);

	*c = (struct virtio_pci_common_cfg){
		.device_feature_select = v->feature_select,
		.guest_feature_select = v->driver_select,
		.msix_config = v->vector,
		.num_queues = v->ops->nr_queues,
		.device_status = vpci_status(v),
		.queue_select = v->queue_select,
	};
	if (v->feature_select < 2)
		c->device_feature = vpci_features(v) >> 32 * v->feature_select;
	if (v->driver_select < 2)
		c->guest_feature = v->driver_features >> 32 * v->driver_select;
	if (!q)
		return;
	c->queue_size = q->size;
	c->queue_msix_vector = v->queue_vector[v->queue_select];
	c->queue_enable = q->ready;
	c->queue_notify_off = v->queue_select;
	c->queue_desc_lo = q->desc_gpa;
	c->queue_desc_hi = q->desc_gpa >> 32;
	c->queue_avail_lo = q->avail_gpa;
	c->queue_avail_hi = q->avail_gpa >> 32;
	c->queue_used_lo = q->used_gpa;
	c->queue_used_hi = q->used_gpa >> 32;
}

static void vpci_set_half(gpa_t *gpa, unsigned half, uint32_t val)
{
	gpa_t mask = 0xffffffffull << 32 * half;

	*gpa = (*gpa & ~mask) | (uint64_t)val << 32 * half;
}

static void vpci_write_queue(struct vpci *v, struct queue *q, unsigned offset,
			     uint32_t val)
{
	unsigned half = offset % 8 / 4;

	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		if (!q->ready && val <= v->ops->queue_size)
			q->size = val;
		break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		vpci_set_vector(v, &v->queue_vector[v->queue_select], val);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (val == 1)
			vpci_start_queue(v, q);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		vpci_set_half(&q->desc_gpa, half, val);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		vpci_set_half(&q->avail_gpa, half, val);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		vpci_set_half(&q->used_gpa, half, val);
		break;
	}
}

static void vpci_write_common(struct vpci *v, unsigned offset, uint32_t val)
{
	struct queue *q = vpci_queue(v);

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->driver_select = val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		vpci_set_features(v, v->driver_select, val);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		vpci_set_vector(v, &v->vector, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		vpci_set_status(v, val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = val;
		break;
	default:
		if (q)
			vpci_write_queue(v, q, offset, val);
	}
}

static uint64_t vpci_read_config(struct vpci *v, uint64_t offset, unsigned len)
{
	uint64_t val = 0;

	if (offset < v->ops->config_size && len <= v->ops->config_size - offset)
		memcpy(&val, (const char *)v->config + offset, len);
	return val;
}

static uint64_t vpci_read_modern(void *dev, uint64_t offset, unsigned len)
{
	struct virtio_pci_common_cfg common;
	struct vpci *v = dev;
	uint64_t val = 0;

	switch (offset & ~(MODERN_PART - 1ull)) {
	case MODERN_COMMON:
		if (offset + len > sizeof(common))
			break;
		pthread_mutex_lock(&v->lock);
		vpci_fill_common(v, &common);
		pthread_mutex_unlock(&v->lock);
		memcpy(&val, (char *)&common + offset, len);
		break;
	case MODERN_ISR:
		val = offset == MODERN_ISR ? vpci_take_isr(v) : 0;
		break;
	case MODERN_CONFIG:
		val = vpci_read_config(v, offset - MODERN_CONFIG, len);
		break;
	}
	return val;
}

static void vpci_notify(struct vpci *v, unsigned queue)
{
	if (queue < v->ops->nr_queues)
		v->ops->notify(v->dev, queue);
}

static void vpci_write_modern(void *dev, uint64_t offset, unsigned len,
			      uint64_t val)
{
	struct vpci *v = dev;

	if (offset >= MODERN_NOTIFY) {
		vpci_notify(v, (offset - MODERN_NOTIFY) / NOTIFY_STRIDE);
	} else if (offset < MODERN_ISR) {
		pthread_mutex_lock(&v->lock);
		vpci_write_common(v, offset, val);
		pthread_mutex_unlock(&v->lock);
	}
}

static const struct bus_ops modern_ops = {
	.name = "virtio",
	.read = vpci_read_modern,
	.write = vpci_write_modern,
	.max_len = 4,
};

/* Legacy registers. */

static unsigned vpci_legacy_config(const struct vpci *v)
{
	return VIRTIO_PCI_CONFIG_OFF(msix_enabled(&v->msix));
}

static uint32_t vpci_read_header(struct vpci *v, unsigned offset)
{
	const struct queue *q = vpci_queue(v);

	switch (offset) {
	case VIRTIO_PCI_HOST_FEATURES:
		return vpci_features(v) & LEGACY_FEATURES;
	case VIRTIO_PCI_GUEST_FEATURES:
		return v->driver_features;
	case VIRTIO_PCI_QUEUE_PFN:
		return q ? q->desc_gpa >> VIRTIO_PCI_QUEUE_ADDR_SHIFT : 0;
	case VIRTIO_PCI_QUEUE_NUM:
		return q ? q->size : 0;
	case VIRTIO_PCI_QUEUE_SEL:
		return v->queue_select;
	case VIRTIO_PCI_STATUS:
		return vpci_status(v);
	case VIRTIO_MSI_CONFIG_VECTOR:
		return v->vector;
	case VIRTIO_MSI_QUEUE_VECTOR:
		return q ? v->queue_vector[v->queue_select] : MSIX_NONE;
	}
	return 0;
}

static uint64_t vpci_read_legacy(void *dev, uint64_t offset, unsigned len)
{
	struct vpci *v = dev;
	unsigned config = vpci_legacy_config(v);
	uint64_t val;

	if (offset >= config)
		return vpci_read_config(v, offset - config, len);
	if (offset == VIRTIO_PCI_ISR)
		return vpci_take_isr(v);
	pthread_mutex_lock(&v->lock);
	val = vpci_read_header(v, offset);
	pthread_mutex_unlock(&v->lock);
	return val;
}

/* One page number stands for all three rings. */
static void vpci_set_pfn(struct vpci *v, uint32_t pfn)
{
	struct queue *q = vpci_queue(v);
	gpa_t used;

	if (!q)
		return;
	if (!pfn) {
		v->ops->reset(v->dev);
		queue_stop(q);
		return;
	}
	q->desc_gpa = (gpa_t)pfn << VIRTIO_PCI_QUEUE_ADDR_SHIFT;
	q->avail_gpa = q->desc_gpa + q->size * sizeof(struct vring_desc);
	used = q->avail_gpa + 2 * (3 + q->size);
	q->used_gpa = (used + VIRTIO_PCI_VRING_ALIGN - 1) &
		      ~(VIRTIO_PCI_VRING_ALIGN - 1ull);
	vpci_start_queue(v, q);
}

static void vpci_write_header(struct vpci *v, unsigned offset, uint32_t val)
{
	switch (offset) {
	case VIRTIO_PCI_GUEST_FEATURES:
		vpci_set_features(v, 0, val);
		break;
	case VIRTIO_PCI_QUEUE_PFN:
		vpci_set_pfn(v, val);
		break;
	case VIRTIO_PCI_QUEUE_SEL:
		v->queue_select = val;
		break;
	case VIRTIO_PCI_STATUS:
		vpci_set_status(v, val);
		break;
	case VIRTIO_MSI_CONFIG_VECTOR:
		vpci_set_vector(v, &v->vector, val);
		break;
	case VIRTIO_MSI_QUEUE_VECTOR:
		if (vpci_queue(v))
			vpci_set_vector(v, &v->queue_vector[v->queue_select],
					val);
		break;
	}
}

static void vpci_write_legacy(void *dev, uint64_t offset, unsigned len,
			      uint64_t val)
{
	struct vpci *v = dev;

	if (offset == VIRTIO_PCI_QUEUE_NOTIFY) {
		vpci_notify(v, val);
	} else if (offset < vpci_legacy_config(v)) {
		pthread_mutex_lock(&v->lock);
		vpci_write_header(v, offset, val);
		pthread_mutex_unlock(&v->lock);
	}
}

static const struct bus_ops legacy_ops = {
	.name = "virtio legacy",
	.read = vpci_read_legacy,
	.write = vpci_write_legacy,
	.max_len = 4,
};

static uint64_t vpci_read_msix(void *dev, uint64_t offset, unsigned len)
{
	struct vpci *v = dev;
	uint64_t val;

	pthread_mutex_lock(&v->irq_lock);
	val = msix_read(&v->msix, offset, len);
	pthread_mutex_unlock(&v->irq_lock);
	return val;
}

static void vpci_write_msix(void *dev, uint64_t offset, unsigned len,
			    uint64_t val)
{
	struct vpci *v = dev;

	pthread_mutex_lock(&v->irq_lock);
	msix_write(&v->msix, offset, len, val);
	pthread_mutex_unlock(&v->irq_lock);
}

static const struct bus_ops msix_ops = {
	.name = "virtio msi-x",
	.read = vpci_read_msix,
	.write = vpci_write_msix,
	.max_len = 8,
};

/* The window in configuration space through which the modern bar is reached. */

#define CFG_DATA offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)

static bool vpci_window(const struct vpci *v, unsigned reg, uint32_t *offset,
			uint32_t *len)
{
	const struct pci_func *f = &v->func;
	unsigned cap = v->cfg_cap;

	*offset = pci_get(f, cap + offsetof(struct virtio_pci_cap, offset), 4);
	*len = pci_get(f, cap + offsetof(struct virtio_pci_cap, length), 4);
	return reg == cap + CFG_DATA && *offset < MODERN_SIZE &&
	       f->config[cap + offsetof(struct virtio_pci_cap, bar)] ==
		       BAR_MODERN &&
	       (*len == 1 || *len == 2 || *len == 4);
}

static void vpci_reading(void *dev, unsigned reg, unsigned len)
{
	struct vpci *v = dev;
	uint32_t offset, n;

	if (vpci_window(v, reg, &offset, &n))
		pci_set(&v->func, reg, n, vpci_read_modern(v, offset, n));
}

static void vpci_written(void *dev, unsigned reg, unsigned len)
{
	struct vpci *v = dev;
	uint32_t offset, n;

	if (vpci_window(v, reg, &offset, &n))
		vpci_write_modern(v, offset, n, pci_get(&v->func, reg, n));
	pthread_mutex_lock(&v->irq_lock);
	msix_update(&v->msix);
	pthread_mutex_unlock(&v->irq_lock);
}

static void vpci_add_cap(struct vpci *v, uint8_t type, uint32_t offset,
			 uint32_t length)
{
	struct virtio_pci_notify_cap cap = {
		.cap = { .cap_vndr = 0x09,
			 .cap_len = sizeof(cap.cap),
			 .cfg_type = type,
			 .bar = BAR_MODERN,
			 .offset = offset,
			 .length = length },
		.notify_off_multiplier = NOTIFY_STRIDE,
	};

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		cap.cap.cap_len = sizeof(cap);
	pci_add_cap(&v->func, &cap, cap.cap.cap_len);
}

static void vpci_add_window_cap(struct vpci *v)
{
	struct virtio_pci_cfg_cap cap = {
		.cap = { .cap_vndr = 0x09,
			 .cap_len = sizeof(cap),
			 .cfg_type = VIRTIO_PCI_CAP_PCI_CFG },
	};
	unsigned at = pci_add_cap(&v->func, &cap, sizeof(cap));

	v->cfg_cap = at;
	pci_set_writable(&v->func, at + offsetof(struct virtio_pci_cap, bar), 1,
			 0xff);
	pci_set_writable(&v->func, at + offsetof(struct virtio_pci_cap, offset),
			 4, ~0u);
	pci_set_writable(&v->func, at + offsetof(struct virtio_pci_cap, length),
			 4, ~0u);
	pci_set_writable(&v->func, at + CFG_DATA, 4, ~0u);
}

static void vpci_init_func(struct vpci *v, unsigned slot)
{
	struct pci_func *f = &v->func;

	*f = (struct pci_func){
		.name = v->ops->name,
		.devfn = PCI_DEVFN(slot, 0),
		.dev = v,
		.written = vpci_written,
		.reading = vpci_reading,
		.bars[BAR_LEGACY] = { LEGACY_SIZE, PCI_BAR_IO, &legacy_ops },
		.bars[BAR_MSIX] = { MSIX_BAR_SIZE, 0, &msix_ops },
		.bars[BAR_MODERN] = { MODERN_SIZE,
				      PCI_BAR_MEM64 | PCI_BAR_PREFETCH,
				      &modern_ops },
	};
	pci_set_id(f, VENDOR, ID_TRANSITIONAL + v->ops->id - 1,
		   v->ops->pci_class, VENDOR, v->ops->id);
	pci_set(f, PCI_IRQ_PIN, 1, 1);
}

int vpci_init(struct vpci *v, struct pci *pci, unsigned slot,
	      const struct vpci_ops *ops, void *dev, const void *config,
	      const struct ram *ram, const struct msi_sink *msi)
{
	v->ops = ops;
	v->dev = dev;
	v->config = config;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->irq_lock, NULL);
	v->vector = MSIX_NONE;
	for (unsigned i = 0; i < ops->nr_queues; i++) {
		v->queues[i].ram = ram;
		v->queues[i].size = ops->queue_size;
		v->queue_vector[i] = MSIX_NONE;
	}
	vpci_init_func(v, slot);
	msix_init(&v->msix, &v->func, BAR_MSIX, ops->nr_queues + 1, msi);
	vpci_add_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, MODERN_COMMON,
		     sizeof(struct virtio_pci_common_cfg));
	vpci_add_cap(v, VIRTIO_PCI_CAP_ISR_CFG, MODERN_ISR, 1);
	vpci_add_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, MODERN_CONFIG,
		     ops->config_size);
	vpci_add_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, MODERN_NOTIFY,
		     ops->nr_queues * NOTIFY_STRIDE);
	vpci_add_window_cap(v);
	return pci_add(pci, &v->func);
}
