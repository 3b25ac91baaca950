# What of the cases is compiled once instead of in every test: the calls of all types.
set(CULOSS_CASE_SOURCES
    cross_entropy.cpp
    cross_entropy_targets.cpp
    distillation.cpp
    element_loss.cpp
    embedding.cpp
    entropy.cpp
    kl_divergence.cpp
    linear_cross_entropy.cpp
    mined_triplet.cpp
    multi_class_hinge.cpp
    nll.cpp
    self_similarity.cpp
    sigmoid_focal.cpp
    siglip.cpp
    similarity.cpp
    smooth_labels.cpp
    softmax.cpp
    softmax_focal.cpp)
list(TRANSFORM CULOSS_CASE_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
