/* Optional: one byte every 2 ms on a virtio port. The guest's clock stops with the guest, so gaps are measured by
   whoever reads the port on the host. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const struct timespec beat = { .tv_sec = 0, .tv_nsec = 2000000 };
    int port = argc == 2 ? open(argv[1], O_WRONLY) : -1;
    if (port < 0)
        return 1;
    for (;;) {
        nanosleep(&beat, NULL);
        if (write(port, ".", 1) != 1)
            sleep(1);
    }
}
