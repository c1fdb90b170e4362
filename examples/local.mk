# Programs to read. None is built here: tests/packaging/lessons.sh builds them from the installed library.
nobase_dist_doc_DATA += \
    examples/01_first_round.c \
    examples/02_k_of_n.c \
    examples/03_evaluation.c \
    examples/04_own_messages.c \
    examples/05_different_instructions.c \
    examples/06_asynchronous.c \
    examples/07_tls.c \
    examples/08_resume.c \
    examples/09_record.c \
    examples/10_monitor.c \
    examples/11_decentralized.c \
    examples/12_vertical_master.c \
    examples/12_vertical_member.c \
    examples/experiments/decentralized.yml \
    examples/experiments/eighty-nodes.yml \
    examples/experiments/fedavg.yml \
    examples/experiments/original.yml \
    examples/experiments/vertical.yml \
    examples/experiments/workers.yml \
    examples/fedavg_server.c \
    examples/from_one_server.c \
    examples/group_coordinator.c \
    examples/participant.c \
    examples/participant.py \
    examples/python/ddp_worker.py \
    examples/python/participant_numpy.py \
    examples/python/participant_torch.py \
    examples/python/server.py \
    examples/to_a_group.c \
    examples/tutorial/hospitals.yml \
    examples/tutorial/hosts.yml \
    examples/tutorial/make_data.py \
    examples/tutorial/make_model.py \
    examples/tutorial/participant.py \
    examples/tutorial/secure.yml \
    examples/tutorial/use_model.py
