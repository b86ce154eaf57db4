/* Prints whom glibc would ask, an address a line. */
#include <arpa/inet.h>
#include <resolv.h>
#include <stdio.h>

int main(void) {
    static struct __res_state state;
    if (res_ninit(&state) != 0)
        return 1;
    for (int i = 0; i < state.nscount; i++) {
        char text[INET6_ADDRSTRLEN];
        if (state.nsaddr_list[i].sin_family == AF_INET)
            inet_ntop(AF_INET, &state.nsaddr_list[i].sin_addr, text, sizeof text);
        else
            inet_ntop(AF_INET6, &state._u._ext.nsaddrs[i]->sin6_addr, text, sizeof text);
        puts(text);
    }
    return 0;
}
