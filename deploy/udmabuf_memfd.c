/* Stands in for /dev/udmabuf where the kernel has none: a buffer is then the memfd that it would be made from.
 *
 * For tests with libcamera's virtual camera only; loaded with LD_PRELOAD. The real device makes a dma-buf from a memfd;
 * whoever only maps it sees no difference.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct udmabuf_create { /* <linux/udmabuf.h> */
    unsigned int memfd;
    unsigned int flags;
    unsigned long long offset;
    unsigned long long size;
};

#define UDMABUF_CREATE _IOW('u', 0x42, struct udmabuf_create)
#define DMA_BUF_BASE 'b' /* <linux/dma-buf.h>: synchronisation with devices, of which there are none */

static int open_with(const char *symbol, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    if (strcmp(path, "/dev/udmabuf") == 0)
        return memfd_create("udmabuf", MFD_CLOEXEC);
    return real(path, flags, mode);
}

#define DEFINE_OPEN(name)                                       \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                           \
        return open_with(#name, path, flags, mode);             \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)

int ioctl(int descriptor, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == UDMABUF_CREATE)
        return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
    if (_IOC_TYPE(request) == DMA_BUF_BASE)
        return 0;
    return real(descriptor, request, argument);
}
