/* A house, and whether its bystander was disturbed. */
#include <config.h>

#include <criterion/criterion.h>

#include "integration/house.h"

void house_open(struct house *house, const struct participant_manager_options *options)
{
    begin();
    door_open(&house->door, options);
    member_start(&house->member, house->door.address, "bystander");
    house->bystander = door_proxy(&house->door, "bystander", 1);
    cr_assert_eq(run_echo(house->bystander), MUSTER_OK);
}

void house_close(struct house *house)
{
    cr_assert_eq(run_echo(house->bystander), MUSTER_OK, "the bystander was disturbed");
    proxy_release(house->bystander);
    member_stop(&house->member);
    door_close(&house->door);
}
