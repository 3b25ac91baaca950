// All of the library.
#pragma once

#include <culoss/binary.hpp>
#include <culoss/core.hpp>
#include <culoss/cross_entropy.hpp>
#include <culoss/cublas.hpp>
#include <culoss/divergence.hpp>
#include <culoss/embedding.hpp>
#include <culoss/focal.hpp>
#include <culoss/info_nce.hpp>
#include <culoss/linear_cross_entropy.hpp>
#include <culoss/margin.hpp>
#include <culoss/mined_triplet.hpp>
#include <culoss/nll.hpp>
#include <culoss/regression.hpp>
#include <culoss/self_similarity.hpp>
#include <culoss/siglip.hpp>
#include <culoss/softmax.hpp>
