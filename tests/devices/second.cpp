// A second device that computes on the CPU: every op is copied there and back (torch's own boxed fallback), so its
// numbers are the CPU's to the last bit. Tensors of two devices in one op are refused, as CUDA refuses them.
#include <ATen/EmptyTensor.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/view_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/alias_native.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::Stream;
constexpr auto OTHER = c10::DeviceType::PrivateUse1;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return OTHER; }
  Device exchangeDevice(Device d) const override { return d; }
  Device getDevice() const override { return Device(OTHER, 0); }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device d) const override { return Stream(Stream::DEFAULT, d); }
  Stream exchangeStream(Stream s) const override { return s; }
  DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const Stream&, const DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = c10::alloc_cpu(bytes);
    return {data, data, &c10::free_cpu, Device(OTHER, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(OTHER, &memory);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(DeviceIndex) const override { return at::detail::getDefaultCPUGenerator(); }
};

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

// The same bytes under the CPU's name: the device's memory is the CPU's.
at::Tensor as_cpu(const at::Tensor& t) {
  if (t.device().type() != OTHER) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), t.options().device(at::kCPU).requires_grad(false));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  as_cpu(to).copy_(as_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) at::native::resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Scalar scalar(const at::Tensor& t) { return as_cpu(t).item(); }
const at::Tensor& resize(const at::Tensor& t, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  auto wanted = C10_AS_INTARRAYREF_SLOW(size);
  int64_t count = c10::multiply_integers(wanted);
  size_t bytes = (t.storage_offset() + count) * t.itemsize();
  auto* storage = t.storage().unsafeGetStorageImpl();
  if (bytes > storage->nbytes()) {
    auto fresh = memory.allocate(bytes);
    std::memcpy(fresh.get(), storage->data(), storage->nbytes());
    storage->set_data_ptr_noswap(std::move(fresh));
    storage->set_nbytes(bytes);
  }
  t.unsafeGetTensorImpl()->set_sizes_contiguous(wanted);
  return t;
}

// CUDA takes 0-d tensors of the CPU everywhere and CPU tensors as indices; nothing else may mix.
// Whether any is on this device.
bool refuse_mixed(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  bool here = false, there = false;
  auto look = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    here = here || t.device().type() == OTHER;
    there = there || (t.device().is_cpu() && t.dim() > 0);
  };
  const bool indexes = op.schema().name().find("aten::index") == 0 || op.schema().name() == "aten::_index_put_impl_";
  size_t first = stack.size() - op.schema().arguments().size();
  for (size_t i = first; i < stack.size(); i++) {
    const auto& value = stack[i];
    if (value.isTensor()) look(value.toTensor());
    if (value.isGenerator()) TORCH_CHECK(!here, "Expected a 'second' device type for generator but found 'cpu'");
    if (value.isTensorList()) for (const auto& t : value.toTensorVector()) look(t);
    if (value.isOptionalTensorList() && !indexes)
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector()) if (t) look(*t);
  }
  TORCH_CHECK(!(here && there), "Expected all tensors to be on the same device, but found at least two devices, ",
              "second:0 and cpu! (", op.schema().name(), ")");
  return here;
}

// The fallback puts results where the first tensor was: a number that is still on the CPU must not decide that.
void with_numbers_here(const c10::OperatorHandle& op, torch::jit::Stack& stack) {
  for (size_t i = stack.size() - op.schema().arguments().size(); i < stack.size(); i++) {
    if (!stack[i].isTensor()) continue;
    at::Tensor t = stack[i].toTensor();
    if (t.defined() && t.device().is_cpu() && t.dim() == 0) stack[i] = t.to(Device(OTHER, 0));
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (refuse_mixed(op, *stack)) with_numbers_here(op, *stack);
  at::native::cpu_fallback(op, stack);
}

// Convolutions ask a backend for kernels of its own.
at::Tensor convolved(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Tensor>& b,
                     c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation,
                     bool transposed, c10::SymIntArrayRef output, c10::SymInt groups) {
  std::optional<at::Tensor> bias = b && b->defined() ? std::optional(as_cpu(*b)) : std::nullopt;
  return at::convolution_symint(as_cpu(x), as_cpu(w), bias, stride, padding, dilation, transposed, output, groups)
      .to(x.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolved_back(
    const at::Tensor& grad, const at::Tensor& x, const at::Tensor& w, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output,
    c10::SymInt groups, std::array<bool, 3> mask) {
  std::vector<c10::SymInt> biases = {grad.sym_size(1)};
  auto [dx, dw, db] = at::convolution_backward_symint(as_cpu(grad), as_cpu(x), as_cpu(w), c10::SymIntArrayRef(biases),
                                                      stride, padding, dilation, transposed, output, groups, mask);
  auto here = [&](const at::Tensor& t) { return t.defined() ? t.to(x.device()) : t; };
  return {here(dx), here(dw), here(db)};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("convolution_overrideable", TORCH_FN(convolved));
  m.impl("convolution_backward_overrideable", TORCH_FN(convolved_back));
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  m.impl("_local_scalar_dense", TORCH_FN(scalar));
  m.impl("resize_", TORCH_FN(resize));
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("view_as_real", TORCH_FN(at::native::view_as_real));
  m.impl("view_as_complex", TORCH_FN(at::native::view_as_complex));
  m.impl("unfold", TORCH_FN(at::native::unfold));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

namespace {
Hooks hooks;
const bool hooked = (at::RegisterPrivateUse1HooksInterface(&hooks), true);
}  // namespace

// No op is cast: what autocast does to a loss is not this device's to show.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
